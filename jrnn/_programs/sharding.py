"""What the type of an array says of its place."""

from typing import Any


def without_last_axis(aval: Any, dtype: Any) -> Any:
    """The type of an array with all axes but the last of another, where those are."""
    place = aval.sharding.update(spec=aval.sharding.spec[:-1])
    shape = aval.shape[:-1]
    return aval.update(shape=shape, dtype=dtype, weak_type=False, sharding=place)


def divided(aval: Any) -> bool:
    """Whether the type of an array says how it is divided among devices."""
    spec = getattr(getattr(aval, "sharding", None), "spec", None) or ()
    varying = getattr(aval, "vma", None) or getattr(aval, "manual_axis_type", None)
    axes = getattr(varying, "varying", varying)
    return bool(axes) or any(part is not None for part in spec)
