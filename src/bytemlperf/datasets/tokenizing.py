"""Tokenizers from the files that are published beside a checkpoint, without any library of models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from bytemlperf.datasets.locating import read_bytes, read_lines, read_text
from bytemlperf.errors import DatasetError, DatasetUnavailableError, WeightsUnavailableError
from bytemlperf.fetch import files_of
from bytemlperf.spec import SourceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bytemlperf.spec import ModelSpec, Source

FILES: Final = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")
"""Files that make a tokenizer, in order of preference; `vocab.json` goes with `merges.txt`."""
_CONFIG: Final = "tokenizer_config.json"
_WEIGHTS: Final = (".safetensors", ".bin", ".index.json")
_CLIP_WORDS: Final = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_EXPECTED: Final = "tokenizer.json; or vocab.txt (BERT), vocab.json with merges.txt (BPE), or spiece.model (ALBERT)"


def model_tokenizer(spec: ModelSpec, path: str | None, *, beside: Path | None = None) -> Tokenizer:
    """Return the tokenizer of a model.

    It is looked for at `path`, else beside the data, else among the files of the model's own sources.

    Args:
        spec: The model; a source that lists a tokenizer's files is fetched.
        path: A folder, or one of `FILES`; None to look elsewhere.
        beside: Folder of the data.

    Raises:
        DatasetUnavailableError: If there is none.
        DatasetError: If its files are damaged.
        WeightsUnavailableError: If the model's source cannot be had.
    """
    main = found_tokenizer(spec, path, names=FILES, beside=beside)
    if main is not None:
        return read_tokenizer(main)
    remedy = "name its folder: option `tokenizer` of the data set"
    raise DatasetUnavailableError(f"there is no tokenizer of model {spec.name!r}", expected=_EXPECTED, remedy=remedy)


def found_tokenizer(
    spec: ModelSpec, path: str | None, *, names: Sequence[str], beside: Path | None = None
) -> Path | None:
    """Return a tokenizer's main file: at `path`, else beside the data, else of the model's sources; None without.

    Args:
        spec: The model; a source that lists one of the files is fetched.
        path: A folder, or a file; None to look elsewhere.
        names: Of main files, in order of preference.
        beside: Folder of the data.

    Raises:
        DatasetUnavailableError: If there is nothing at `path`.
        WeightsUnavailableError: If the model's source cannot be had.
    """
    if path is not None:
        named = Path(path).expanduser()
        main = _main_file(named, names) if named.is_dir() else named
        if main is None or not main.is_file():
            expected = f"a tokenizer's file, or a folder with one: {', '.join(names)}"
            raise DatasetUnavailableError("a tokenizer is missing", where=str(named), expected=expected)
        return main
    if beside is not None and (found := _main_file(beside, names)) is not None:
        return found
    return _of_sources(spec.sources, names)


def _of_sources(sources: Sequence[Source], names: Sequence[str]) -> Path | None:
    """Fetch a tokenizer from the first source that gives it; sources that differ in their weights only are one."""
    listing = [_without_weights(each) for each in sources if any(Path(name).name in names for name in each.files)]
    refusal = None
    for number, source in enumerate(listing):
        if source in listing[:number]:
            continue
        try:
            fetched = files_of(source)
        except WeightsUnavailableError as error:
            refusal = error
            continue
        return next(fetched.files[name] for name in source.files if Path(name).name in names)
    if refusal is not None:
        raise refusal
    return None


def _without_weights(source: Source) -> Source:
    """Leave a repository's weights where they are: a tokenizer needs none."""
    if source.kind is not SourceKind.HUB:
        return source
    files = [name for name in source.files if not name.endswith(_WEIGHTS)]
    pins = {name: pin for name, pin in source.sha256.items() if name in files}
    return attrs.evolve(source, files=files, sha256=pins)


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer; what it says of padding and of truncation is dropped.

    Args:
        path: One of `FILES`, or a folder that has one.

    Raises:
        DatasetUnavailableError: If there is none.
        DatasetError: If its files are damaged.
    """
    main = _main_file(path, FILES) if path.is_dir() else path
    if main is None or not main.is_file():
        raise DatasetUnavailableError("a tokenizer is missing", where=str(path), expected=_EXPECTED)
    readers = {".json": _bpe, ".txt": _wordpiece, ".model": _unigram}
    try:
        tokenizer = _whole(main) if main.name == FILES[0] else readers[main.suffix](main)
    except DatasetError:
        raise
    except Exception as error:  # the library raises plain exceptions for whatever is wrong in a file
        raise DatasetError("a tokenizer's file cannot be read", where=str(main), got=str(error)) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def token_id(tokenizer: Tokenizer, *names: str) -> int:
    """Return the id of the first of several tokens that there is.

    Raises:
        DatasetError: If there is none.
    """
    found = (tokenizer.token_to_id(name) for name in names)
    number = next((each for each in found if each is not None), None)
    if number is None:
        raise DatasetError("the tokenizer lacks a token", got=names)
    return number


def _main_file(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def configuration(folder: Path) -> dict[str, object]:
    """Return what a tokenizer's `tokenizer_config.json` says; nothing where there is none."""
    path = folder / _CONFIG
    config = json.loads(read_text(path)) if path.is_file() else {}
    return config if isinstance(config, dict) else {}


def _whole(path: Path) -> Tokenizer:
    return Tokenizer.from_str(read_text(path))


def _wordpiece(path: Path) -> Tokenizer:
    """Make BERT's tokenizer; it lowers case unless its configuration says otherwise."""
    vocabulary = {word: number for number, word in enumerate(read_lines(path))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    lower = configuration(path.parent).get("do_lower_case", True) is not False
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    _add_special(tokenizer, "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    tokenizer.post_processor = _template(tokenizer)
    return tokenizer


def _bpe(path: Path) -> Tokenizer:
    """Make the tokenizer of RoBERTa, DeBERTa, CLIP or GPT-2, told apart by their special tokens."""
    merges = path.with_name("merges.txt")
    lines = [line for line in read_lines(merges) if line and not line.startswith("#version")]
    pairs = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
    vocabulary = json.loads(read_text(path))
    if "<|startoftext|>" in vocabulary:
        return _clip(vocabulary, pairs)
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if tokenizer.token_to_id("<s>") is not None:
        _add_special(tokenizer, "<s>", "</s>", "<pad>", "<unk>")
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
        end, begin = ((name, token_id(tokenizer, name)) for name in ("</s>", "<s>"))
        tokenizer.post_processor = processors.RobertaProcessing(end, begin, True, False)  # noqa: FBT003 - trimmed spans, no space before
    elif tokenizer.token_to_id("[CLS]") is not None:
        _add_special(tokenizer, "[CLS]", "[SEP]", "[UNK]", "[PAD]")
        tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True)])
        tokenizer.post_processor = _template(tokenizer)
    else:
        _add_special(tokenizer, "<|endoftext|>")
    return tokenizer


def _clip(vocabulary: dict[str, int], pairs: list[tuple[str, str]]) -> Tokenizer:
    """Make CLIP's tokenizer, as openai/CLIP's `simple_tokenizer.py` does: lower case, words by kind of character."""
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, end_of_word_suffix="</w>", unk_token="<|endoftext|>"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    _add_special(tokenizer, "<|startoftext|>", "<|endoftext|>")
    return tokenizer


def _unigram(path: Path) -> Tokenizer:
    """Make ALBERT's tokenizer from a sentencepiece model."""
    from sentencepiece import sentencepiece_model_pb2 as protocol

    model = protocol.ModelProto.FromString(read_bytes(path))  # type: ignore[attr-defined]
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=model.trainer_spec.unk_id, byte_fallback=False))
    config = configuration(path.parent)
    tokenizer.normalizer = _albert_normalizer(
        lower=config.get("do_lower_case", True) is not False,
        accents=config.get("keep_accents", False) is True,
        charsmap=model.normalizer_spec.precompiled_charsmap,
    )
    metaspace = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    tokenizer.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    _add_special(tokenizer, "<pad>", "<unk>", "[CLS]", "[SEP]")
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True)])
    tokenizer.post_processor = _template(tokenizer)
    return tokenizer


def _albert_normalizer(*, lower: bool, accents: bool, charsmap: bytes) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if lower:
        steps.append(normalizers.Lowercase())
    if charsmap:
        steps.append(normalizers.Precompiled(charsmap))
    return normalizers.Sequence(steps)


def _template(tokenizer: Tokenizer) -> processors.PostProcessor:
    ends = [(name, token_id(tokenizer, name)) for name in ("[CLS]", "[SEP]")]
    return processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=ends
    )


def _add_special(tokenizer: Tokenizer, *names: str) -> None:
    tokenizer.add_special_tokens([name for name in names if tokenizer.token_to_id(name) is not None])
