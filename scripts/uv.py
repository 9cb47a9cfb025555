"""Print the path of a uv executable, installing one into .venv-uv with pip where none is found."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Find uv on PATH, else beside the project, else put it there."""
    found = shutil.which("uv")
    local = ROOT / ".venv-uv" / ("Scripts/uv.exe" if sys.platform == "win32" else "bin/uv")
    if found is None and not local.exists():
        print("installing uv into .venv-uv", file=sys.stderr)
        try:
            # What it has to say must not be taken for the path.
            with contextlib.redirect_stdout(sys.stderr):
                venv.create(ROOT / ".venv-uv", with_pip=True, clear=True)
        except (subprocess.CalledProcessError, SystemExit):  # Debian packs ensurepip separately
            shutil.rmtree(ROOT / ".venv-uv", ignore_errors=True)
            name = f"python{sys.version_info.major}.{sys.version_info.minor}"
            sys.exit(
                f"this {name} cannot make environments: install {name}-venv (that is its name on "
                "Debian and Ubuntu), or put uv on the PATH, and run make again"
            )
        pip = [str(local.with_name("python")), "-m", "pip", "install", "--quiet", "uv>=0.9"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
    print(found or local)


if __name__ == "__main__":
    main()
