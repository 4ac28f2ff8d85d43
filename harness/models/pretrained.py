"""The files of a pre-trained checkpoint, in a folder or on the hub: where they are, and what is said of bad ones."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError, StrictDataclassError
from omegaconf import DictConfig
from safetensors import SafetensorError

from errors import ModelError
from harness.store.files import sha256
from harness.store.identity import CONTENT

if TYPE_CHECKING:  # a checkpoint is known by its files where nothing is loaded
    from transformers import PretrainedConfig

ROOT = Path(__file__).resolve().parents[2]
# The token that a family of language cannot do without: a target's end, what batches are filled up with.
SPECIAL_TOKEN = {"decoder": "eos_token", "encoder": "pad_token"}
TOKENIZER_FILES = (
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model",
    "chat_template*", "generation_config.json",
)  # fmt: skip
PREPROCESSOR = "preprocessor_config.json"
AUTO = "auto"  # value of a key of the model section that `models.complete` finds
DAMAGED = "they are truncated or damaged"
ADAPTER = "adapter_config.json"  # what PEFT leaves beside an adapter; transformers loads one on top of the model there


def local_folder(checkpoint: str) -> Path | None:
    """The folder that `checkpoint` names, from here or from the project's root; None for a hub id."""
    candidates = [Path(checkpoint).expanduser(), ROOT / checkpoint]
    return next((path for path in candidates if path.is_dir()), None)


def folder_of(cfg: DictConfig) -> Path | None:
    """As `local_folder`. Raises ModelError where the checkpoint can only be a folder, and is none."""
    folder, path = local_folder(cfg.checkpoint), Path(cfg.checkpoint).expanduser()
    if folder is None and (path.is_absolute() or path.exists() or len(path.parts) > 2 or path.parts[0] == ".."):
        raise ModelError(
            f"there is no folder {cfg.checkpoint!r}; model.checkpoint of model {cfg.name} is one with config.json, "
            "*.safetensors and the tokenizer's files, or a model of the hub"
        )
    return folder


def at_hand(cfg: DictConfig, name: str) -> Path | None:
    """A file of the checkpoint in its folder or in the hub's cache; nothing is fetched. Raises as `folder_of`."""
    folder = folder_of(cfg)
    if folder is not None:
        return folder / name if (folder / name).is_file() else None
    found = try_to_load_from_cache(cfg.checkpoint, name, revision=cfg.revision)
    return Path(found) if isinstance(found, str) else None


def _file(cfg: DictConfig, name: str) -> Path | None:
    """A file of the checkpoint, fetched if need be; None where the checkpoint has no such file. Raises ModelError."""
    if folder_of(cfg) is not None:
        return at_hand(cfg, name)
    try:
        return Path(hf_hub_download(cfg.checkpoint, name, revision=cfg.revision))
    except RemoteEntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise unusable(cfg, error) from error


def weights_file(cfg: DictConfig) -> Path:
    from harness.models import weights

    path = _file(cfg, weights.SINGLE)
    if path is None:
        raise _only_pickles(cfg)
    return path


def configuration(cfg: DictConfig) -> "PretrainedConfig":
    """What the checkpoint's config.json says. Raises ModelError."""
    from transformers import AutoConfig

    return from_checkpoint(cfg, AutoConfig)


def preprocessor(cfg: DictConfig) -> dict[str, Any]:
    """The checkpoint's preprocessor_config.json; empty where it has none. Raises ModelError where it cannot be told."""
    try:
        path = _file(cfg, PREPROCESSOR)
    except ModelError as error:
        raise ModelError(f"{error}; or give model.image.size, model.image.mean and model.image.std") from error
    return {} if path is None else json.loads(path.read_text(encoding="utf-8"))


def generation_settings(cfg: DictConfig) -> dict[str, Any]:
    """The checkpoint's generation_config.json; empty where none is at hand. Raises ModelError for one that is none."""
    path = at_hand(cfg, "generation_config.json")
    try:
        return {} if path is None else dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise unusable(cfg, error) from error


def from_checkpoint(cfg: DictConfig, auto, **options):
    folder = folder_of(cfg)
    if at_hand(cfg, ADAPTER) is not None:
        raise _with_adapter(cfg)
    if folder is not None and not (folder / "config.json").is_file():
        raise ModelError(f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no config.json; {_remedy(cfg)}")
    try:
        if folder is not None:
            return auto.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True, **options)
        loaded = auto.from_pretrained(cfg.checkpoint, revision=cfg.revision, trust_remote_code=False, **options)
    except SafetensorError as error:
        raise other_weights(cfg, DAMAGED) from error
    except Exception as error:  # transformers looks at little of what is in these files before it uses it
        if "named model.safetensors" in str(error):
            raise _only_pickles(cfg) from error
        if "ignore_mismatched_sizes" in str(error):
            raise other_weights(cfg, "their shapes are others") from error
        raise unusable(cfg, error) from error
    if at_hand(cfg, ADAPTER) is not None:  # of the hub, fetched with the rest
        raise _with_adapter(cfg)
    return loaded


def _with_adapter(cfg: DictConfig) -> ModelError:
    """Of a base that would be another than the files say: the adapter's own base, or the model with it on top."""
    if at_hand(cfg, "config.json") is None:
        base = _base_of_adapter(cfg)
        return ModelError(
            f"checkpoint {cfg.checkpoint!r} of model {cfg.name} is an adapter{base and f' of {base}'}, not a model: "
            "name the model, or merge the adapter into it and save that (merge_and_unload, save_pretrained): "
            "model.checkpoint=PATH"
        )
    return ModelError(
        f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has an adapter beside the model ({ADAPTER}), which would "
        "be loaded on top of it; if the model is the merged one, move adapter_config.json and adapter_model.* away"
    )


def _base_of_adapter(cfg: DictConfig) -> str:
    """What it says of itself; empty where it says nothing."""
    try:
        said = json.loads(at_hand(cfg, ADAPTER).read_text(encoding="utf-8"))
        return str(said.get("base_model_name_or_path") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def fingerprint(cfg: DictConfig) -> str:
    """SHA-256 of a local checkpoint's files, or the hub id and revision. Raises ModelError where one is unreadable."""
    folder = local_folder(cfg.checkpoint)
    if folder is None:
        return f"{cfg.checkpoint}@{cfg.revision}"
    return _digest(cfg, [p for p in folder.iterdir() if p.name == "config.json" or p.suffix == ".safetensors"])


def tokenizer_fingerprint(cfg: DictConfig) -> dict[str, str]:
    """For the record, not for the run key: SHA-256 of the files that make the tokenizer of a local checkpoint.

    Empty where there are none, for a model that reads no text, and for one of the hub, whose revision says it.
    """
    folder = local_folder(cfg.checkpoint)
    if folder is None or cfg.family not in SPECIAL_TOKEN:
        return {}
    found = {path for pattern in TOKENIZER_FILES for path in folder.glob(pattern) if path.is_file()}
    return {"tokenizer": _digest(cfg, found)} if found else {}


def preprocessor_fingerprint(cfg: DictConfig) -> dict[str, str]:
    """For the record, not for the run key: SHA-256 of what says how a local checkpoint takes images, there or not.

    What was found in it is in the key. Empty for a model of no images, and for one of the hub, whose revision says it.
    """
    folder = local_folder(cfg.checkpoint)
    if folder is None or cfg.family != "vision":
        return {}
    return {"preprocessor": _digest(cfg, [path for path in [folder / PREPROCESSOR] if path.is_file()])}


def content_fingerprint(cfg: DictConfig) -> dict[str, str]:
    """For the record, not for the run key: SHA-256 of a hub checkpoint's files, as `fingerprint` has it of a folder's.

    So the same files are known under both names. Empty for a folder, and where not all files are at hand.
    """
    from harness.models import weights

    if local_folder(cfg.checkpoint) is not None:
        return {}
    paths = [at_hand(cfg, name) for name in ["config.json", *weights.files(lambda name: at_hand(cfg, name))]]
    return {} if None in paths or len(paths) < 2 else {f"model{CONTENT}": _digest(cfg, paths)}


def _digest(cfg: DictConfig, paths: Iterable[Path]) -> str:
    try:
        lines = [f"{path.name} {sha256(path)}\n" for path in sorted(paths)]
    except OSError as error:  # a folder of that name, or one that this user may not read
        raise unusable(cfg, error) from error
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _only_pickles(cfg: DictConfig) -> ModelError:
    here = local_folder(cfg.checkpoint) is not None
    return ModelError(
        f"checkpoint {cfg.checkpoint!r} of model {cfg.name} has no safetensors"
        f"{'' if here else f' at revision {cfg.revision}'}, and pickles are not loaded; "
        f"`python -m harness.convert {cfg.checkpoint} OUT` converts it (then model.checkpoint=OUT)"
        + ("" if here else ", or take a pull request of the hub that holds them: model.revision=refs/pr/N")
    )


def other_weights(cfg: DictConfig, reason: str) -> ModelError:
    return ModelError(
        f"the weights of checkpoint {cfg.checkpoint!r} of model {cfg.name} are not those that its config.json "
        f"states: {reason}; {_remedy(cfg)}"
    )


def unusable(cfg: DictConfig, error: Exception) -> ModelError:
    said = first_line(error)
    if isinstance(error, StrictDataclassError):  # the reason is below its first line
        said = " ".join(str(error).split())
    elif not isinstance(error, OSError | ValueError):  # not meant for people: "'metadata'"
        said = f"{type(error).__name__}: {said}"
    return ModelError(f"checkpoint {cfg.checkpoint!r} of model {cfg.name} could not be loaded ({said}); {_remedy(cfg)}")


def _remedy(cfg: DictConfig) -> str:
    if local_folder(cfg.checkpoint) is not None:
        return "name another folder, or a model of the hub: model.checkpoint=PATH"
    fetch = f"hf download {cfg.checkpoint} --revision {cfg.revision}"
    return f"fetch it with `{fetch}`, or name a folder: model.checkpoint=PATH"


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
