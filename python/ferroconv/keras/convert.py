"""Models from Keras' layers to ferroconv's and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import keras

from ferroconv.keras import layers
from ferroconv.keras.distributed import guard
from ferroconv.keras.inference import Fusion, Plan, is_graph, plan

PAIRS: dict[Any, Any] = {
    getattr(keras.layers, name): getattr(layers, name)
    for name in (
        "Conv2D",
        "DepthwiseConv2D",
        "SeparableConv2D",
        "Conv2DTranspose",
        "MaxPooling2D",
        "AveragePooling2D",
        "GlobalMaxPooling2D",
        "GlobalAveragePooling2D",
    )
}
"""Each of Keras' layers that has one of ours."""

RELATED = tuple(
    getattr(keras.layers, name)
    for name in dir(keras.layers)
    if ("Conv" in name or "Pooling" in name) and isinstance(getattr(keras.layers, name), type)
)
"""Keras' convolution and pooling layers: those of which a report says why they stay."""


@dataclass(frozen=True)
class Entry:
    """One layer in a report."""

    name: str
    """The layer's name in its model."""
    kind: str
    """Its class, as it was."""
    reason: str = ""
    """Why it stays, or what it is part of; empty if it was replaced."""


@dataclass
class Report:
    """What a conversion did with each convolution and pooling layer; printing it says so line by line."""

    target: str
    replaced: list[Entry] = field(default_factory=list)
    kept: list[Entry] = field(default_factory=list)
    fused: list[Entry] = field(default_factory=list)
    """Layers that a convolution does on its way, in a model for inference."""
    others: int = 0
    """Layers of other kinds, copied as they are."""

    def __str__(self) -> str:
        counts = [f"{len(self.replaced)} layer(s) now {self.target}", f"{len(self.kept)} kept"]
        counts += [f"{len(self.fused)} fused"] if self.fused else []
        lines = [", ".join([*counts, f"{self.others} of other kinds copied"])]
        told = [
            (word, f"{one.name} ({one.kind})", one.reason)
            for word, entries in (("replaced", self.replaced), ("fused", self.fused), ("kept", self.kept))
            for one in entries
        ]
        width = max((len(name) for _, name, _ in told), default=0)
        lines += [f"  {word:<8}  {name:<{width}}  {reason}".rstrip() for word, name, reason in told]
        return "\n".join(lines)


@overload
def accelerate(model: Any, *, inference: bool = False, report: Literal[False] = False) -> Any: ...
@overload
def accelerate(model: Any, *, inference: bool = False, report: Literal[True]) -> tuple[Any, Report]: ...
def accelerate(model: Any, *, inference: bool = False, report: bool = False) -> Any:
    """Return a copy of a model whose convolution and pooling layers run on ferroconv.

    Weights, the optimizer's state and how the model was compiled are copied; the original is not
    touched and shares nothing with the copy. Nested models, layers that are used several times and layers
    inside wrappers such as ``TimeDistributed`` are followed.

    Parameters
    ----------
    model : keras.Model
        A Sequential or functional model.
    inference : bool, optional
        Make a copy that predicts and is not trained any further: a batch normalisation, the sum with a
        shortcut of the same shape and a relu after a convolution become part of it, where nothing else reads
        what is between them, and its packed filters stay from call to call. Batch normalisation is then a
        factor of the filters and a part of the bias, so results differ from the original's by rounding. The
        layers' names stay (in their places are `keras.layers.Identity`), but what a fused convolution gives is
        what the last layer in it gave. The copy is frozen (``trainable`` is False): it has none of the
        optimizer's state, and its losses have no penalties on weights.
    report : bool, optional
        Also return what was replaced, and what was kept and why.

    Returns
    -------
    keras.Model
        The copy.
    Report
        With `report`: one entry for each convolution and pooling layer.

    Raises
    ------
    TypeError
        For a model that is neither Sequential nor functional: its layers are in its own code.
    ValueError
        If the copy can't be compiled as the original is, or with `inference` if the model has no weights yet.

    Examples
    --------
    >>> import keras, ferroconv.keras
    >>> model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(6, 5, name="C1")])
    >>> fast, report = ferroconv.keras.accelerate(model, report=True)
    >>> print(report)
    1 layer(s) now ferroconv's, 0 kept, 0 of other kinds copied
      replaced  C1 (Conv2D)

    >>> layers = [keras.Input((28, 28, 1)), keras.layers.Conv2D(6, 5, name="C1")]
    >>> layers += [keras.layers.BatchNormalization(name="N1"), keras.layers.ReLU(name="R1")]
    >>> fast, report = ferroconv.keras.accelerate(keras.Sequential(layers), inference=True, report=True)
    >>> print(report)
    1 layer(s) now ferroconv's, 0 kept, 2 fused, 0 of other kinds copied
      replaced  C1 (Conv2D)
      fused     N1 (BatchNormalization)  into C1
      fused     R1 (ReLU)                into C1
    """
    _supported(model)
    conversion = _Conversion(PAIRS, "ferroconv's", _unlike_keras, plan(model) if inference else None)
    copy, what = _convert(model, conversion)
    return (copy, what) if report else copy


@overload
def to_stock(model: Any, *, report: Literal[False] = False) -> Any: ...
@overload
def to_stock(model: Any, *, report: Literal[True]) -> tuple[Any, Report]: ...
def to_stock(model: Any, *, report: bool = False) -> Any:
    """Return a copy of a model on Keras' own layers: to serve it where ferroconv is not installed.

    The way back from `accelerate`, with the same parameters and results.

    Parameters
    ----------
    model : keras.Model
        A Sequential or functional model.
    report : bool, optional
        Also return what was replaced, and what was kept and why.

    Returns
    -------
    keras.Model
        The copy.
    Report
        With `report`: one entry for each convolution and pooling layer.

    Raises
    ------
    TypeError
        For a model that is neither Sequential nor functional.
    ValueError
        If the copy can't be compiled as the original is.
    """
    _supported(model)
    copy, what = _convert(model, _Conversion({ours: stock for stock, ours in PAIRS.items()}, "Keras'", _unlike_ours))
    return (copy, what) if report else copy


def _unlike_keras(layer: Any) -> str | None:
    """Why a layer that has no counterpart among ours stays; None if it is no convolution or pooling."""
    if isinstance(layer, layers.Native):
        return "ferroconv's already"
    if not isinstance(layer, RELATED):
        return None
    if isinstance(layer, tuple(PAIRS)):
        return "a subclass: its own code may differ from Keras'"
    return "ferroconv has no layer for it"


def _unlike_ours(layer: Any) -> str | None:
    """Why a layer that has no counterpart among Keras' stays; None if ferroconv is not in it."""
    if isinstance(layer, layers.LocalResponseNormalization):
        return "Keras has no such layer; it runs on TensorFlow's op, and loads after `import ferroconv.keras`"
    if isinstance(layer, layers.Native):
        return "a subclass: its own code may differ from ferroconv's"
    if isinstance(layer, RELATED):
        return "Keras' already"
    return None


def _refused(layer: Any, target: Any) -> str | None:
    """Why a layer can't be built as its counterpart, though there is one."""
    if target is keras.layers.Conv2D and any(len(node.input_tensors) > 1 for node in layer._inbound_nodes):
        return "it takes an addend, which Keras' layer does not: convert the model that it was made of"
    if target is keras.layers.Conv2D and max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
        try:
            target.from_config(_plain(layer.get_config()))
        except (TypeError, ValueError):  # Keras' from_config makes the one of the other
            return "this Keras refuses strides together with dilation"
    return None


class _Conversion:
    """The clone function of one conversion: it builds the copies, and remembers of what."""

    def __init__(
        self,
        table: Mapping[Any, Any],
        target: str,
        unlike: Callable[[Any], str | None],
        inference: Plan | None = None,
    ) -> None:
        self.table = table
        self.unlike = unlike
        self.report = Report(target)
        self.copies: list[tuple[Any, Any]] = []
        self.folded: list[tuple[Fusion, Any]] = []
        self.inference = inference
        self.made: dict[int, Any] = {}
        fused = inference.fusions if inference else ()
        self.fusions = {id(one.conv): one for one in fused}
        self.absorbed = {id(layer): one for one in fused for layer in one.absorbed}
        self.stand_ins: set[int] = set()
        self.late: dict[int, Fusion] = {}
        self.spellings = {_spelling(old): new for old, new in table.items()}

    def clone(self, model: Any) -> Any:
        """The copy of a model, and of models in it."""
        # Keras' own recursion has no call function for what is in a Sequential model.
        call = None if isinstance(model, keras.Sequential) else self._call
        return keras.models.clone_model(model, clone_function=self, call_function=call)

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a copy; what stands in the place of a fused layer takes no `training` and no `mask`."""
        fusion = self.late.get(id(layer))
        if fusion is None and id(layer) not in self.stand_ins:
            return layer(*args, **kwargs)
        given = args[0] if args else kwargs["inputs"]
        if fusion is None:
            return layer(given)
        if layer is not self.made.get(id(fusion.add)):
            return given  # the convolution is called where its addend is there
        y = self.made[id(fusion.conv)](given[fusion.operand], addend=given[1 - fusion.operand])
        for one in (fusion.norm, fusion.add):
            y = y if one is None else self.made[id(one)](y)
        return y

    def __call__(self, layer: Any) -> Any:
        if id(layer) not in self.made:
            self.made[id(layer)] = self.clone(layer) if is_graph(layer) else self._copy(layer)
        return self.made[id(layer)]

    def _copy(self, layer: Any) -> Any:
        cls = type(layer)
        if fusion := self.absorbed.get(id(layer)):
            self.report.fused.append(Entry(layer.name, cls.__name__, f"into {fusion.conv.name}"))
            kept = {key: value for key, value in layer.get_config().items() if key in ("name", "dtype")}
            copy = keras.layers.Identity.from_config(kept)
            self.stand_ins.add(id(copy))
            if fusion.add is not None and layer is not fusion.relu:
                self.late[id(copy)] = fusion
            return copy
        if fusion := self.fusions.get(id(layer)):
            if cls in self.table:
                self.report.replaced.append(Entry(layer.name, cls.__name__))
            else:
                self.report.kept.append(Entry(layer.name, cls.__name__, str(self.unlike(layer))))
            target = self.table.get(cls, cls)
            copy = target.from_config(self._suited(fusion.config, target))
            self.folded.append((fusion, copy))
            if fusion.add is not None:
                self.late[id(copy)] = fusion
            return copy
        target = self.table.get(cls)
        reason = _refused(layer, target) if target else self.unlike(layer)
        if target and not reason:
            self.report.replaced.append(Entry(layer.name, cls.__name__))
            copy = target.from_config(self._suited(layer.get_config(), target))
        else:
            if reason:
                self.report.kept.append(Entry(layer.name, cls.__name__, reason))
            else:
                self.report.others += 1
            copy = self._other(layer)
        self.copies.append((layer, copy))
        return copy

    def _suited(self, config: dict[str, Any], target: Any) -> dict[str, Any]:
        """A configuration as a copy takes it: filters stay packed where they are not trained any further."""
        return _plain(config) | ({"keep_filters": True} if self.inference and target is layers.Conv2D else {})

    def _other(self, layer: Any) -> Any:
        """Copy a layer that has no counterpart; those of which it tells in its configuration are exchanged."""
        before = len(self.report.replaced)
        try:
            config = layer.get_config()
        except NotImplementedError as error:
            raise TypeError(
                f"The layer {layer.name!r} can't be copied: {type(layer).__name__} must have get_config() and "
                "from_config()."
            ) from error
        copy = type(layer).from_config(self._exchanged(config))
        if len(self.report.replaced) == before:
            for one in layer._flatten_layers(include_self=False):
                if type(one) in self.table:
                    reason = f"made by the code of {type(layer).__name__}; write ferroconv's layer there"
                    self.report.kept.append(Entry(f"{layer.name}/{one.name}", type(one).__name__, reason))
        return copy

    def _exchanged(self, config: Any) -> Any:
        """Exchange the serialised layers within a configuration."""
        if isinstance(config, (list, tuple)):
            return type(config)(self._exchanged(one) for one in config)
        if not isinstance(config, dict):
            return config
        house = config.get("registered_name") or config.get("module")
        target = self.spellings.get((str(house), str(config.get("class_name"))))
        inner = {key: self._exchanged(value) for key, value in config.items()}
        if target is None:
            return inner
        inner["config"] = _plain(inner["config"])
        self.report.replaced.append(Entry(inner["config"].get("name", ""), config["class_name"]))
        name = keras.saving.get_registered_name(target)
        registered = name if ">" in name else None
        module = target.__module__ if registered else "keras.layers"
        return {**inner, "module": module, "registered_name": registered, "class_name": target.__name__}


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what Keras' layers have not."""
    return {key: value for key, value in config.items() if key != "keep_filters"}


def _spelling(cls: type) -> tuple[str, str]:
    """What a layer of this class is called when it is serialised."""
    name = keras.saving.get_registered_name(cls)
    return (name if ">" in name else "keras.layers", cls.__name__)


def _supported(model: Any) -> None:
    if not is_graph(model):
        raise TypeError(
            "The model must be Sequential or functional; a subclassed model names its layers in its own code, "
            f"where ferroconv.keras' can be written instead. Received: {type(model).__name__}."
        )


def _convert(model: Any, conversion: _Conversion) -> tuple[Any, Report]:
    try:
        with keras.saving.custom_object_scope(_compiled_with(model)):
            copy = conversion.clone(model)
    except ValueError as error:
        if "lambda" not in str(error).lower():
            raise
        raise ValueError(
            "Keras does not copy lambdas: give compile() and Lambda layers functions with names. "
            f"Received: a model with a lambda. Keras says: {error}"
        ) from error
    for old, new in conversion.copies:
        _assign(old.variables, new.variables)
    for fusion, new in conversion.folded:
        fusion.assign(new)
    if conversion.inference:
        copy.trainable = False
        # One that is not trainable would take what it learned in the place of the batch's statistics.
        by_the_batch = {id(layer) for layer in conversion.inference.by_the_batch}
        for old, new in conversion.copies:
            if id(old) in by_the_batch:
                new.trainable = old.trainable
    else:
        _copy_freezing(model, copy)
        _copy_optimizer(model, copy, conversion.copies)
    return guard(copy), conversion.report


def _compiled_with(model: Any) -> dict[str, Any]:
    """The functions and classes that the model was compiled with, by name: they need not be registered."""
    config = getattr(model, "_compile_config", None)
    found = {}
    for one in keras.tree.flatten(config.config if config else []):
        named = one if callable(one) and hasattr(one, "__name__") else type(one)
        if not named.__module__.startswith(("keras.", "builtins")):
            found[named.__name__] = named
    return found


def _assign(old: Sequence[Any], new: Sequence[Any]) -> None:
    for source, destination in zip(old, new, strict=True):
        destination.assign(source)


def _copy_freezing(old: Any, new: Any) -> None:
    """Copy `trainable` of models within models: a layer's own is in its configuration, a model's is not.

    Not by the setter, which would also set every layer's.
    """
    new._trainable = old._trainable
    for layer in old.layers:
        if hasattr(layer, "layers") and hasattr(layer, "operations"):
            _copy_freezing(layer, new.get_layer(layer.name))


def _copy_optimizer(old: Any, new: Any, copies: Sequence[tuple[Any, Any]]) -> None:
    """Iterations, learning rate, and what it keeps for each weight."""
    source, destination = getattr(old, "optimizer", None), getattr(new, "optimizer", None)
    if source is None or destination is None:
        return
    if not source.built:  # what it holds so far is in its configuration
        return
    if not destination.built:
        destination.build(new.trainable_variables)
    twins = {id(a): b for x, y in copies for a, b in zip(x.variables, y.variables, strict=True)}
    same_order = [id(twins[id(one)]) for one in old.trainable_variables] == [id(one) for one in new.trainable_variables]
    if not same_order or len(source.variables) != len(destination.variables):
        raise ValueError(
            "The optimizer must be that of the model's trainable weights as they are now: after freezing or adding "
            f"layers, compile the model again. Received: {len(source.variables)} variables of an optimizer that "
            f"would now have {len(destination.variables)}."
        )
    _assign(source.variables, destination.variables)
