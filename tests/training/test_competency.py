import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest

import configs
from data import jobs, language
from data.contract import LANGUAGE, LANGUAGE_COMPARISONS
from data.corpora import zh_short_answer
from data.head import HeadGraph
from evaluation import agreement
from evaluation.audit import check
from evaluation.card import missing, read_card
from training import competency
from training.competency import CompetencyRecipe
from training.competency_card import COMPETENCY, KNOWN, UNSEEN
from training.competency_head import (
    ANSWER,
    COMPARISONS,
    QUESTION,
    Distances,
    Head,
    cross_fitted,
    fit_head,
    onnx_head,
)
from training.publish import read_manifest, write

HEAD = Head(
    comparison_reach=0.3,
    verdict_weight=2,
    cosine_weight=1,
    clause_weight=1,
    new_weight=1,
    size_weight=1,
    memory=0.5,
    answer_reach=1,
    question_reach=2,
    level=0.3,
    noise=0.2,
    unseen_noise=0.5,
)
WIDTH = len(LANGUAGE.columns)


def planted(answers: int, questions: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features whose rating rises with one comparison, whatever the question."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(answers, WIDTH)).astype(np.float32)
    asked = rng.normal(size=(questions, QUESTION.stop - QUESTION.start))
    features[:, QUESTION] = asked[rng.integers(questions, size=answers)]
    for part in (ANSWER, QUESTION):
        features[:, part] /= np.linalg.norm(features[:, part], axis=1, keepdims=True)
    coverage = LANGUAGE.names.index("coverage")
    return features, 50 + 20 * np.tanh(features[:, coverage].astype(float))


def folder_of_exams(folder: Path) -> Path:
    """Six small exams in which a longer share of the reference earns more."""
    points = ["耐心倾听客户", "查清事实原因", "给出解决办法", "事后回访客户", "总结经验教训"]
    rows = []
    for q in range(6):
        known = [f"第{q}题要{point}" for point in points]
        for i in range(6):
            rows.append(
                {
                    "q_id": q,
                    "question": f"第{q}题：怎样处理投诉？",
                    "reference": "；".join(known) + "。",
                    "answer": "，".join(known[:i]) or "大概吧",
                    "score": i / 5,
                }
            )
    table = pd.DataFrame(rows)
    table.to_csv(folder / "le.csv", index=False)
    ads = table.rename(columns={"reference": "reference1"})
    ads.assign(score=ads["score"] * 10).to_csv(folder / "ads.csv", index=False)
    return folder


def test_scores_of_both_files_are_points_of_a_hundred(tmp_path: Path):
    table = zh_short_answer.read(folder_of_exams(tmp_path))
    for _, rows in table.groupby("corpus"):
        assert sorted(rows["rating"].unique()) == pytest.approx([0, 20, 40, 60, 80, 100])
    assert table["question_id"].nunique() == 12
    assert table["item"].is_unique


def test_identical_answers_to_a_question_are_one_writing(tmp_path: Path):
    folder_of_exams(tmp_path)
    table = pd.read_csv(tmp_path / "le.csv")
    pd.concat([table, table.iloc[:1]]).to_csv(tmp_path / "le.csv", index=False)
    rows = zh_short_answer.read(tmp_path)
    assert rows["writing"].nunique() == len(rows) - 1
    assert rows["item"].is_unique


def test_a_folder_without_le_is_refused_by_name(tmp_path: Path):
    folder_of_exams(tmp_path)
    (tmp_path / "le.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"le\.csv"):
        zh_short_answer.read(tmp_path)


def test_scores_beyond_the_scale_are_refused(tmp_path: Path):
    folder_of_exams(tmp_path)
    table = pd.read_csv(tmp_path / "le.csv")
    table.assign(score=5).to_csv(tmp_path / "le.csv", index=False)
    with pytest.raises(ValueError, match=r"in_range\(0, 1"):
        zh_short_answer.read(tmp_path)


def test_the_head_finds_a_planted_comparison_on_questions_it_never_saw():
    features, rating = planted(400, 8)
    new, truth = planted(200, 8, seed=1)
    scores = fit_head(HEAD, features, rating).points(new)
    assert agreement.pearson(truth, scores) > 0.6


def test_memory_fades_to_nothing_for_an_unseen_question():
    features, rating = planted(200, 4)
    remembering = fit_head(HEAD, features, rating)
    far = features[:5].copy()
    far[:, QUESTION] *= -1
    far[:, ANSWER] *= -1
    compared = remembering.points(far) - remembering.mean
    standard = (features[:5, COMPARISONS] - remembering.centre) / remembering.deviation
    near = np.clip(standard, -3, 3) * HEAD.weights
    squares = ((near[:, None] - remembering.compared) ** 2).sum(axis=2)
    np.testing.assert_allclose(compared, np.exp(-squares) @ remembering.alone, atol=0.5)


def test_a_question_never_seen_is_marked_like_the_known_ones_that_its_answers_resemble():
    """Two courses, one marked 85 and one 45, whose answers differ in every comparison."""
    features, _ = planted(300, 20)
    lenient = np.unique(features[:, QUESTION], axis=0, return_inverse=True)[1].reshape(-1) < 10
    features[:, COMPARISONS] += np.where(lenient, 1, -1)[:, None]
    rating = np.where(lenient, 85.0, 45.0) + np.random.default_rng(1).normal(0, 5, 300)
    new, _ = planted(100, 5, seed=7)
    new[:, COMPARISONS] += 1
    forgetful = replace(HEAD, level=1, memory=1)
    assert fit_head(forgetful, features, rating).points(new).mean() == pytest.approx(85, abs=3)


def test_folds_are_judged_as_the_published_head_scores():
    features, rating = planted(200, 8)
    features[:, ANSWER.start :] = features[:, ANSWER.start :].astype(np.float16)
    distances = Distances.of(features)
    half, rest = np.arange(100), np.arange(100, 200)
    found = cross_fitted(distances, HEAD, rating, [(half, rest), (rest, half)])
    fitted = fit_head(HEAD, features[half], rating[half])
    assert agreement.pearson(found[rest], fitted.points(features[rest])) > 0.99


def test_the_graph_gives_what_the_fitted_head_gives():
    features, rating = planted(300, 6)
    fitted = fit_head(HEAD, features, rating)
    new = np.concatenate([features[:20], planted(20, 3, seed=2)[0], np.zeros((1, WIDTH))])
    new = new.astype(np.float32)
    session = onnxruntime.InferenceSession(onnx_head(fitted), providers=["CPUExecutionProvider"])
    points = session.run(["points"], {"features": new})[0]
    assert points.shape == (41, 1)
    np.testing.assert_allclose(points[:, 0], fitted.points(new), atol=0.05)


def test_a_comparison_beyond_three_deviations_says_no_more():
    features, rating = planted(100, 4)
    fitted = fit_head(HEAD, features, rating)
    wild, wilder = features[:1].copy(), features[:1].copy()
    wild[:, COMPARISONS], wilder[:, COMPARISONS] = 1e3, 1e6
    np.testing.assert_allclose(fitted.points(wild), fitted.points(wilder))


def test_every_comparison_has_a_weight():
    assert HEAD.weights.shape == (len(LANGUAGE_COMPARISONS),)
    assert (HEAD.weights > 0).all()


def test_the_recipe_learns_from_a_folder_and_is_judged_on_one(
    tmp_path: Path, added_by_publishing: set[str]
):
    data = folder_of_exams(tmp_path)
    config = configs.load(
        "competency", CompetencyRecipe, outer_folds=3, inner_folds=2, trials=2, coverage=0.8
    )
    built = competency.run(config, data, tmp_path / "store")
    assert [target.name for target in built.manifest.targets] == ["answer_quality", "level"]
    assert built.manifest.validated_settings == ()
    assert built.card.data.consent_basis == "unknown: the folder states nothing"
    assert set(built.manifest.provisional_reason) == {"zh", "en"}
    assert set(missing(built.card)) == added_by_publishing
    assert set(built.predictions["split"]) == {UNSEEN, KNOWN, COMPETENCY}
    assert built.predictions["item"].is_unique
    version = write(built, tmp_path / "version", change="first")
    assert [row for row in check(version) if row.differences] == []
    judged = competency.judge(version, data, tmp_path / "store")
    assert (judged[0].metric, judged[0].people, judged[0].n) == ("pearson", "ads", 36)
    assert judged[0].value > 0.8


def test_nothing_of_an_unseen_question_is_learned_from(tmp_path: Path):
    rated = competency.examples(folder_of_exams(tmp_path), tmp_path / "store")
    groups = rated.groups(UNSEEN)
    everyone = np.arange(len(groups))
    for train, test in competency.dealt(rated, everyone, UNSEEN, n=3, seed=0):
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == len(groups)
        assert set(rated.table["corpus"].iloc[test]) == {"ads", "le"}


STARTER = Path(competency.__file__).parent / "starter" / "competency"


def starter_points(features: np.ndarray) -> np.ndarray:
    return HeadGraph(STARTER / "head.onnx").points(features)[:, 0]


def test_the_version_that_ships_fits_this_code_and_its_card_is_recomputed_from_its_predictions():
    manifest = read_manifest(STARTER)
    assert manifest.feature_set == LANGUAGE.id
    head = (STARTER / manifest.artifact).read_bytes()
    assert hashlib.sha256(head).hexdigest() == manifest.sha256
    assert sum(path.stat().st_size for path in STARTER.iterdir()) < 3e6
    assert missing(read_card(STARTER)) == []
    assert manifest.validated_settings == ("course_exam",)


def test_the_version_that_ships_is_not_biased_by_unseen_question_and_says_what_single_ones_are():
    rows = [row for row in read_card(STARTER).metrics.rows if row.slice.get("split") == UNSEEN]
    found = {(row.type, *row.slice.values()): row for row in rows}
    assert found["bias", UNSEEN, "ads"].low < 0 < found["bias", UNSEEN, "ads"].high
    assert abs(found["bias", UNSEEN, "le"].value) < 4
    assert found["pearson", UNSEEN, "ads"].value > 0.63
    assert found["bias", UNSEEN, "ads", "ads-13"].unit == "writing"
    values = [(row.type, tuple(row.slice.items())) for row in rows]
    assert len(values) == len(set(values))


def test_the_version_that_ships_prefers_an_answer_to_this_question_to_one_to_another():
    bank = jobs.job("relationship_manager").questions
    for asked, other in (("unhappy_customer", "match_product"), ("explain_risk", "disagreement")):
        question = bank[asked]
        for code in ("zh", "en"):
            rest = question.comparisons(code)[1:]
            answers = [question.references[code][0], bank[other].references[code][0]]
            own, foreign = starter_points(language.extract_all(answers, question.text[code], rest))
            assert own > foreign + 10


def test_the_first_evidence_of_the_version_that_ships_moves_its_score_most():
    question = jobs.job("relationship_manager").question("unhappy_customer")
    known = question.comparisons("zh")[1:]
    parts = [
        "那天天气很好。",
        "我先请客户坐下，耐心听他说完，向他道歉。",
        "查清是系统延迟，当场承诺到账时间。",
    ]
    answers = ["".join(parts), *("".join(parts[:i] + parts[i + 1 :]) for i in range(3))]
    whole, *without = starter_points(language.extract_all(answers, question.text.zh, known))
    changes = [score - whole for score in without]
    assert max(map(abs, changes[1:])) > abs(changes[0])


def test_the_shared_answers_agree_with_the_version_that_learned_from_them(
    shared_data: Path, tmp_path: Path
):
    """Each was learned from, so this is a check of judging, not of the version."""
    for name in ("ads", "le"):
        table = pd.read_csv(shared_data / "zh_short_answer" / f"{name}.csv")
        table[table["q_id"].isin(table["q_id"].unique()[:3])].to_csv(tmp_path / f"{name}.csv")
    judged = competency.judge(STARTER, tmp_path, tmp_path / "store")
    found = {(row.metric, row.people): row.value for row in judged}
    assert found["pearson", "ads"] > 0.8
    assert found["mae", "ads"] < 20
