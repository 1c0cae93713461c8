"""`ShardedIndex`: several indexes, each in a process of its own, searched as one."""

from latelens.index.sharded.index import ShardedIndex

__all__ = ["ShardedIndex"]
