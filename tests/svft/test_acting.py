"""check_adapters, on models that read the weights of adapted layers and on models that call them."""

import pytest
import timm
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from svft import SvftConfig, check_adapters

SMALL = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
SWIN = {"img_size": 32, "embed_dim": 16, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4}
TIMM = {
    "beit_base_patch16_224": SMALL,
    "eva02_tiny_patch14_224": SMALL,
    "swinv2_tiny_window8_256": SWIN,
    "vit_tiny_patch16_224": SMALL,
}
CONFIGS = {"lora": lambda *names: LoraConfig(r=2, target_modules=list(names)),
           "svft": lambda *names: SvftConfig(pattern="plain", target_modules=list(names))}  # fmt: skip
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))


def images(name: str, *adapted: str, config=CONFIGS["lora"]) -> tuple[nn.Module, torch.Tensor]:
    model = timm.create_model(name, pretrained=False, num_classes=3, **TIMM[name])
    side = TIMM[name]["img_size"]
    return get_peft_model(model, config(*adapted)), torch.randn(2, 3, side, side)


class Encoder(nn.Module):
    """Rows of (T, 4) to 3 classes."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
        self.classifier = nn.Linear(8, 3)

    def forward(self, x):
        return self.classifier(self.encoder(self.embed(x)).mean(1))


class Mixture(nn.Module):
    """Two blocks of four experts; every token goes to the first expert."""

    def __init__(self):
        super().__init__()
        blocks = (nn.ModuleList(nn.ModuleDict({"up": nn.Linear(4, 4)}) for _ in range(4)) for _ in range(2))
        self.layers = nn.ModuleList(blocks)

    def forward(self, x):
        for experts in self.layers:
            x = x + experts[0]["up"](x)
        return x


class Calls(nn.Module):
    """One layer, called and used in a way of the test's."""

    def __init__(self, use):
        super().__init__()
        self.first, self.layer, self.use = nn.Linear(4, 4), nn.Linear(4, 4), use

    def forward(self, x):
        return self.use(self, self.first(x))


@every_config
@pytest.mark.parametrize("name", sorted(set(TIMM) - {"vit_tiny_patch16_224"}))
def test_a_layer_whose_weight_the_model_reads_is_named(name, config):
    model, batch = images(name, "qkv", config=config)
    with pytest.raises(
        RuntimeError, match=r"the adapters of \S+attn\.qkv, \S+ do not act: the model never calls these"
    ):
        check_adapters(model, batch)


def test_the_layers_that_such_a_model_calls_pass():
    for name in TIMM:
        check_adapters(*images(name, "fc1", "fc2"))
    check_adapters(*images("vit_tiny_patch16_224", "qkv"))


@every_config
def test_out_proj_of_torchs_attention_is_named(config):
    model = get_peft_model(Encoder(), config("out_proj", "linear1"))
    with pytest.raises(
        RuntimeError, match="encoder.layers.0.self_attn.out_proj, encoder.layers.1.self_attn.out_proj do"
    ):
        check_adapters(model, torch.randn(2, 3, 4))


@pytest.fixture
def no_fast_path():
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


@every_config
def test_a_fast_path_of_evaluation_that_drops_adapters_is_told(config):
    model = get_peft_model(Encoder(), config("linear1", "linear2"))
    batch = torch.randn(2, 3, 4)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.ones_(parameter)
    with torch.no_grad(), model.disable_adapter():
        expected = model.eval()(batch)
    with torch.no_grad():
        assert torch.equal(model(batch), expected), "the adapter acts in evaluation, so there is nothing to tell"
    with pytest.raises(
        RuntimeError, match=r"and 1 more do not act: .* in evaluation it does not.*set_fastpath_enabled"
    ):
        check_adapters(model, batch)


@every_config
def test_without_the_fast_path_the_same_adapters_act(config, no_fast_path):
    check_adapters(get_peft_model(Encoder(), config("linear1", "linear2")), torch.randn(2, 3, 4))


def test_pefts_own_layer_for_attention_acts_though_it_calls_no_layer_inside(no_fast_path):
    check_adapters(get_peft_model(Encoder(), CONFIGS["lora"]("self_attn")), torch.randn(2, 3, 4))


def detached(self, x):
    return x + self.layer(x).detach()


def dropped_in_evaluation(self, x):
    return (x, x + self.layer(x))[self.training]


def dropped_beside_nan(self, x):
    """As beside the loss of a batch that has no target."""
    return (
        x + self.layer(x)
        if self.training
        else torch.cat([dropped_in_evaluation(self, x), torch.full_like(x, torch.nan)])
    )


@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (detached, "layer do not act: lora_A.default.weight got no gradient in training"),
        (dropped_in_evaluation, "layer do not act: in evaluation .* output does not depend on what they return"),
        (dropped_beside_nan, "layer do not act: in evaluation .* output does not depend on what they return"),
    ],
)
def test_a_layer_that_is_called_for_nothing_is_named(use, reason):
    with pytest.raises(RuntimeError, match=f"the adapters of {reason}"):
        check_adapters(get_peft_model(Calls(use), CONFIGS["lora"]("layer", "first")), torch.randn(2, 4))


def test_a_module_that_is_called_by_its_forward_acts():
    check_adapters(
        get_peft_model(Calls(lambda self, x: self.layer.forward(x)), CONFIGS["lora"]("layer")), torch.ones(1, 4)
    )


def test_experts_without_a_token_are_passed_over_and_a_list_that_is_never_called_is_not():
    check_adapters(get_peft_model(Mixture(), CONFIGS["lora"]("up")), torch.randn(2, 4))
    skipping = Mixture()
    skipping.layers[1].requires_grad_(False)
    skipping.forward = lambda x: x + skipping.layers[0][0]["up"](x)
    with pytest.raises(RuntimeError, match=r"the adapters of layers.1.0.up, layers.1.1.up, layers.1.2.up and 1 more"):
        check_adapters(get_peft_model(skipping, CONFIGS["lora"]("up")), torch.randn(2, 4))


def test_a_head_that_is_trained_whole_has_to_act_too():
    config = LoraConfig(r=2, target_modules=["first"], modules_to_save=["layer"])
    check_adapters(get_peft_model(Calls(lambda self, x: self.layer(x)), config), torch.randn(2, 4))
    with pytest.raises(RuntimeError, match="the adapters of layer do not act"):
        check_adapters(get_peft_model(Calls(lambda self, x: x), config), torch.randn(2, 4))


def test_the_model_is_left_as_it_was():
    model, batch = images("vit_tiny_patch16_224", "qkv", config=CONFIGS["svft"])
    model.get_submodule("base_model.model.norm").eval()
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    check_adapters(model, batch)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not any("forward" in vars(module) for module in model.modules())


def test_statistics_of_normalisation_are_left_as_they_were():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    check_adapters(get_peft_model(model, CONFIGS["lora"]("0")), torch.randn(8, 4))
    assert model[1].running_mean.eq(0).all() and model[1].num_batches_tracked == 0


def test_a_model_without_an_active_adapter_is_refused():
    with pytest.raises(ValueError, match="this Encoder has no active adapter"):
        check_adapters(Encoder(), torch.randn(2, 3, 4))
    model = get_peft_model(Encoder(), CONFIGS["lora"]("embed"))
    with pytest.raises(ValueError, match="has no active adapter"), model.disable_adapter():
        check_adapters(model, torch.randn(2, 3, 4))
    model.merge_adapter()
    with pytest.raises(ValueError, match="unmerge them first"):
        check_adapters(model, torch.randn(2, 3, 4))
