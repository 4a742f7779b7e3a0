"""What was found out about a network, kept while it lives and its modules stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

Found = TypeVar("Found")


class Facts:
    """What was found out about a network, kept while it lives and its modules stay the same."""

    _of: ClassVar[WeakKeyDictionary[nn.Module, Facts]] = WeakKeyDictionary()

    def __init__(self, modules: tuple[object, ...]) -> None:
        self._modules = modules
        self._found: dict[object, Any] = {}

    @classmethod
    def about(cls, module: nn.Module) -> Facts:
        """The facts about a borrowed network; none yet when its modules changed."""
        modules = tuple((id(one), type(one)) for one in module.modules())
        facts = cls._of.get(module)
        if facts is None or facts._modules != modules:
            facts = cls._of[module] = cls(modules)
        return facts

    def know(self, key: object, find: Callable[[], Found]) -> Found:
        """The fact of that key, found out at the first time."""
        if key not in self._found:
            self._found[key] = find()
        found: Found = self._found[key]
        return found

    def forget(self, key: object) -> None:
        """Make the fact of that key be found out again."""
        self._found.pop(key, None)
