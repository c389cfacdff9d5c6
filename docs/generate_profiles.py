"""Write docs/profiles/: a page a profile, from the profiles' own data."""

from pathlib import Path

from firmware_profiles import pages, registry

FOLDER = Path(__file__).parent / "profiles"


def contents() -> dict[str, str]:
    """File name -> text."""
    specs = [registry.load(name).spec for name in registry.names()]
    return {"README.md": pages.index(specs), **{f"{s.name}.md": pages.page(s) for s in specs}}


def main() -> None:
    """Write the pages, and remove those of profiles that are gone."""
    FOLDER.mkdir(exist_ok=True)
    texts = contents()
    for path in FOLDER.glob("*.md"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(texts)} pages in {FOLDER}")


if __name__ == "__main__":
    main()
