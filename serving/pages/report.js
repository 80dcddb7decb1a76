"use strict";
(() => {
  const root = document.documentElement;
  const duration = Number(document.body.dataset.duration);
  const slider = document.getElementById("time");
  const clock = document.getElementById("clock");
  const player = document.getElementById("player");
  const picker = document.getElementById("recording");
  const words = Array.from(document.querySelectorAll("[data-start]"));
  const read = (seconds) =>
    Math.floor(seconds / 60) + ":" + String(Math.floor(seconds % 60)).padStart(2, "0") +
    "." + Math.floor((seconds * 10) % 10);

  function show(seconds) {
    const at = Math.min(Math.max(seconds, 0), duration);
    root.style.setProperty("--at", String(at / duration));
    slider.value = String(at);
    slider.setAttribute("aria-valuetext", read(at));
    clock.textContent = read(at);
    for (const word of words) {
      const on = at >= Number(word.dataset.start) && at < Number(word.dataset.end);
      word.classList.toggle("now", on);
    }
  }

  function seek(seconds) {
    show(seconds);
    if (player.src) player.currentTime = seconds;
  }

  function speak(language) {
    root.dataset.lang = language;
    root.lang = language;
    document.title = root.dataset["title" + (language === "zh" ? "Zh" : "En")];
    for (const button of document.querySelectorAll("[data-speak]"))
      button.setAttribute("aria-pressed", String(button.dataset.speak === language));
    for (const element of document.querySelectorAll("[data-label-zh]"))
      element.setAttribute("aria-label", element.dataset[language === "zh" ? "labelZh" : "labelEn"]);
    for (const image of document.querySelectorAll("[data-alt-zh]"))
      image.alt = image.dataset[language === "zh" ? "altZh" : "altEn"];
  }

  document.addEventListener("click", (event) => {
    const timed = event.target.closest("[data-t]");
    if (timed) seek(Number(timed.dataset.t));
    const language = event.target.closest("[data-speak]");
    if (language) speak(language.dataset.speak);
    if (event.target.closest("#print")) window.print();
    const landmarks = event.target.closest("#landmarks");
    if (landmarks) {
      const shown = root.toggleAttribute("data-landmarks");
      landmarks.setAttribute("aria-pressed", String(shown));
    }
  });

  for (const lane of document.querySelectorAll(".lane")) {
    const point = (event) => {
      const box = lane.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * duration);
    };
    lane.addEventListener("pointerdown", (event) => {
      if (event.target.closest("[data-t]")) return;
      lane.setPointerCapture(event.pointerId);
      point(event);
    });
    lane.addEventListener("pointermove", (event) => {
      if (lane.hasPointerCapture(event.pointerId)) point(event);
    });
  }

  slider.addEventListener("input", () => seek(Number(slider.value)));
  player.addEventListener("timeupdate", () => show(player.currentTime));
  picker.addEventListener("change", () => {
    if (player.src) URL.revokeObjectURL(player.src);
    const file = picker.files[0];
    if (!file) return;
    const at = Number(slider.value);
    player.src = URL.createObjectURL(file);
    player.addEventListener("loadedmetadata", () => seek(at), { once: true });
    player.hidden = false;
  });
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });

  speak("zh");
  show(0);
})();
