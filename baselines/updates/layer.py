"""h = W0 x + Delta x, with Delta of the kind that the configuration names (`kinds`).

Shapes: B batch (any leading dims), O out_features, I in_features.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from peft.tuners._buffer_dict import BufferDict
from torch import nn

from svft.basis import BasisLayer
from svft.decomposition import Basis, wide_dtype
from svft.decomposition.fingerprint import probe
from svft.decomposition.streams import generator, stream_of

from ..precision import wide, without_autocast
from .config import UpdateConfig
from .kinds import KINDS, Kind, Place, Tensors
from .products import Product

STORE = "updates_"
NAMES = tuple(dict.fromkeys(name for kind in KINDS.values() for name in kind.trained))


class UpdateLinear(BasisLayer):
    adapter_layer_names = tuple(STORE + name for name in NAMES)
    other_param_names = (*BasisLayer.other_param_names, "updates_chosen")
    shares_basis = False
    configs: dict[str, UpdateConfig]

    def make_stores(self) -> None:
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ParameterDict())
        self.updates_chosen = BufferDict(persistent=True)  # indices of singular directions, -1 before there are any
        self.register_buffer("basis_weight", None, persistent=False)  # W0, while adapters that need it are merged

    def update_layer(self, adapter_name: str, config: UpdateConfig) -> None:
        self.configs[adapter_name] = config
        place = self._place(config)
        self.give_own_basis(adapter_name, self._basis(place))
        if self.kind_of(adapter_name).choose is not None:
            undecided = torch.full((config.directions,), -1, dtype=torch.int32)
            self.updates_chosen[adapter_name] = undecided.to(place.like.device)
        for name, tensor in self._starts(adapter_name, place).items():
            getattr(self, STORE + name)[adapter_name] = nn.Parameter(tensor)
        self.remember_basis(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _place(self, config: UpdateConfig) -> Place:
        like = self.basis_weight_print.new_empty(0, dtype=self.dtype)
        random = generator(stream_of(config.seed, self.name), "start")
        return Place(self.out_features, self.in_features, like, config, random, self.unmerged_weight, self._whole_basis)

    def _basis(self, place: Place) -> Basis:
        try:
            return KINDS[place.config.kind].basis(place)
        except ValueError as error:
            raise ValueError(f"layer '{self.name}' ({self.out_features} x {self.in_features}): {error}") from error

    def _starts(self, adapter_name: str, place: Place) -> Tensors:
        config = self.configs[adapter_name]
        starts = self.kind_of(adapter_name).starts(place, self.basis(adapter_name))
        if not config.init_weights and not place.like.is_meta:
            rng = generator(stream_of(0, f"{self.name}|{adapter_name}"), "no identity")
            for tensor in starts.values():
                tensor += torch.from_numpy(rng.standard_normal(tensor.shape) / math.sqrt(len(tensor))).to(tensor)
        return starts

    @property
    def dtype(self) -> torch.dtype:
        """That updates are computed in: fp32, or fp64 on an fp64 base."""
        return wide_dtype(self.get_base_layer().weight)

    def kind_of(self, adapter_name: str) -> Kind:
        return KINDS[self.configs[adapter_name].kind]

    def trained(self, adapter_name: str) -> Tensors:
        stores = {name: getattr(self, STORE + name) for name in NAMES}
        return {name: store[adapter_name] for name, store in stores.items() if adapter_name in store}

    def product(self, adapter_name: str) -> Product:
        """Also under autocast or in a model cast to less."""
        trained = {name: wide(tensor) for name, tensor in self.trained(adapter_name).items()}
        basis = Basis(*map(wide, self.basis(adapter_name)))
        with without_autocast(self.basis_weight_print.device):
            return self.kind_of(adapter_name).product(self.configs[adapter_name], basis, trained)

    def apply_delta(self, adapter_name: str, x: torch.Tensor) -> torch.Tensor:
        x = self._cast_input_dtype(x, self.dtype)
        return self.product(adapter_name).output(x, self.base_matrix)

    def delta_weight(self, adapter_name: str) -> torch.Tensor:
        weight = self.base_matrix if self.basis_weight is None else lambda: self.basis_weight
        with without_autocast(self.basis_weight_print.device):
            return self.product(adapter_name).matrix(weight)

    def chosen(self, adapter_name: str) -> list[int] | None:
        """The singular directions of an adapter that chooses some, or None where it has not done so."""
        chosen = self.updates_chosen[adapter_name].tolist()
        return None if -1 in chosen else chosen

    def coefficients(self, adapter_name: str) -> nn.Parameter:
        """Of the directions that are chosen."""
        return self.updates_d_sigma[adapter_name]

    @torch.no_grad()
    def choose_directions(self, adapter_name: str) -> None:
        """Of a kind that chooses some; nothing is chosen where nothing has been learnt yet."""
        trained = {name: wide(tensor) for name, tensor in self.trained(adapter_name).items()}
        whole = self._whole_basis()
        chosen = self.kind_of(adapter_name).choose(self.configs[adapter_name], whole, trained)
        if chosen is None:
            return
        self.updates_chosen[adapter_name] = chosen.to(torch.int32)
        self.give_own_basis(adapter_name, columns(whole, chosen))
        self.remember_basis(adapter_name)

    def _whole_basis(self) -> Basis:
        weight = self.unmerged_weight()
        return self.decompose(weight.to(wide_dtype(weight)))

    def check_saved(self, adapter_name: str, tensors: Tensors) -> None:
        """Directions that were chosen are taken here too."""
        if "updates_chosen" not in tensors:
            return
        chosen, K = tensors["updates_chosen"].to(self.basis_weight_print.device, torch.int64), self._K()
        if (chosen == -1).all():
            basis = self._basis(self._place(self.configs[adapter_name]))
        elif len(chosen.unique()) < len(chosen) or chosen.min() < 0 or chosen.max() >= K:
            raise ValueError(
                f"layer '{self.name}': {chosen.tolist()} are no directions of its {K}; the file is damaged"
            )
        else:
            basis = columns(self._whole_basis(), chosen)
        self.give_own_basis(adapter_name, basis)

    def _K(self) -> int:
        return min(self.out_features, self.in_features)

    def fill(self) -> None:
        """Beside what is merged, W0 is kept: it says what to take away again, and what a further adapter adds."""
        if self.basis_weight is None and any(self.kind_of(adapter).reads_weight for adapter in self.configs):
            self.basis_weight = self.unmerged_weight().clone()

    def free(self) -> None:
        self.basis_weight = None

    def probe_of(self, adapter_name: str) -> torch.Tensor:
        """Of vectors of length 1, in which the tolerances are."""
        U, _, Vh = map(wide, self.basis(adapter_name))
        return probe(F.normalize(U, dim=0), F.normalize(Vh, dim=1))

    def words_of(self, adapter_name: str) -> tuple[str, str]:
        return self.kind_of(adapter_name).words

    def has_signs(self, adapter_name: str) -> bool:
        return False

    def turn(self, adapter_name: str, tensors: Tensors, signs: torch.Tensor) -> Tensors:
        return {}


def columns(basis: Basis, indices: torch.Tensor) -> Basis:
    return Basis(basis.U[:, indices].contiguous(), basis.s[indices], basis.Vh[indices])
