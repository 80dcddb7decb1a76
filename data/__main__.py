"""python -m data: set a machine up, look at a recording, make tables with a known answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="Recording → features.", no_args_is_help=True, add_completion=False)
console = Console(stderr=True)


@app.command()
def setup() -> None:
    """Check the system libraries and fetch the pretrained weights, each once."""
    import configs
    from data import system
    from data.assets import AssetsConfig, AssetUnavailable, fetch

    try:
        if installed := system.ensure():
            console.print(f"installed {', '.join(installed)}")
        for name in configs.load("assets", AssetsConfig).assets:
            fetch(name)
    except (system.SystemLibraryMissing, AssetUnavailable) as error:
        console.print(str(error), style="red")
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
