"""NumPy's memory with a page in front of it and one behind it that may not be touched (Linux).

`install(end=True)`: every array that NumPy makes from then on, those of calls too, ends where a page ends, and the next
page may not be read or written: what goes beyond an array by one element ends the process. With `end=False` arrays
begin where such a page ends. Memory that is given back may not be touched either.

The allocator is machine code: NumPy may take memory and give it back while an error is on its way.
"""

from __future__ import annotations

import ctypes

from scancc.backends.llvm import engine
from scancc.backends.python_function import numpy_function

SET_HANDLER = 304  # PyDataMem_SetHandler in the table of NumPy's C interface (NEP 49)
# PROT_READ | PROT_WRITE is 3, MAP_PRIVATE | MAP_ANONYMOUS 34. The page in front keeps how many pages there are, and how
# many bytes were asked for.
CODE = """
declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @munmap(ptr, i64)
declare i32 @mprotect(ptr, i64, i32)
declare ptr @memcpy(ptr, ptr, i64)

define ptr @guarded_malloc(ptr %context, i64 %asked) {
  %none = icmp eq i64 %asked, 0
  %size = select i1 %none, i64 1, i64 %asked
  %huge = icmp ugt i64 %size, 17592186044416
  br i1 %huge, label %fail, label %map
map:
  %up = add i64 %size, 4095
  %data = and i64 %up, -4096
  %whole = add i64 %data, 8192
  %start = call ptr @mmap(ptr null, i64 %whole, i32 3, i32 34, i32 -1, i64 0)
  %bad = icmp eq ptr %start, inttoptr (i64 -1 to ptr)
  br i1 %bad, label %fail, label %use
fail:
  ret ptr null
use:
  store i64 %whole, ptr %start
  %second = getelementptr i64, ptr %start, i64 1
  store i64 %size, ptr %second
  %first = getelementptr i8, ptr %start, i64 4096
  %behind = getelementptr i8, ptr %first, i64 %data
  call i32 @mprotect(ptr %start, i64 4096, i32 0)
  call i32 @mprotect(ptr %behind, i64 4096, i32 0)
  %minus = sub i64 0, %size
  %last = getelementptr i8, ptr %behind, i64 %minus
  %side = ptrtoint ptr %context to i64
  %end = icmp eq i64 %side, 1
  %chosen = select i1 %end, ptr %last, ptr %first
  ret ptr %chosen
}

define ptr @guarded_calloc(ptr %context, i64 %count, i64 %each) {
  %size = mul i64 %count, %each
  %found = call ptr @guarded_malloc(ptr %context, i64 %size)
  ret ptr %found
}

define ptr @header(ptr %address) {
  %number = ptrtoint ptr %address to i64
  %page = and i64 %number, -4096
  %before = sub i64 %page, 4096
  %start = inttoptr i64 %before to ptr
  call i32 @mprotect(ptr %start, i64 4096, i32 3)
  ret ptr %start
}

define void @guarded_free(ptr %context, ptr %address, i64 %size) {
  %none = icmp eq ptr %address, null
  br i1 %none, label %done, label %some
some:
  %start = call ptr @header(ptr %address)
  %whole = load i64, ptr %start
  call i32 @munmap(ptr %start, i64 %whole)
  br label %done
done:
  ret void
}

define ptr @guarded_realloc(ptr %context, ptr %address, i64 %size) {
  %new = call ptr @guarded_malloc(ptr %context, i64 %size)
  %none = icmp eq ptr %address, null
  %failed = icmp eq ptr %new, null
  %skip = or i1 %none, %failed
  br i1 %skip, label %done, label %copy
copy:
  %start = call ptr @header(ptr %address)
  %place = getelementptr i64, ptr %start, i64 1
  %old = load i64, ptr %place
  %less = icmp ult i64 %old, %size
  %count = select i1 %less, i64 %old, i64 %size
  call ptr @memcpy(ptr %new, ptr %address, i64 %count)
  call void @guarded_free(ptr %context, ptr %address, i64 0)
  br label %done
done:
  ret ptr %new
}
"""
FUNCTIONS = ("malloc", "calloc", "realloc", "free")


class _Handler(ctypes.Structure):
    """PyDataMem_Handler: a name, a version, what the functions get first, and the functions."""

    _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("context", ctypes.c_void_p),
                *((name, ctypes.c_void_p) for name in FUNCTIONS)]  # fmt: skip


_kept: list[object] = []


def install(end: bool = True) -> None:
    """For the rest of the process."""
    code = engine.loaded(CODE, [f"guarded_{name}" for name in FUNCTIONS])
    handler = _Handler(b"guard pages", 1, 1 if end else 0, *(code.addresses[f"guarded_{name}"] for name in FUNCTIONS))
    name = ctypes.create_string_buffer(b"mem_handler")
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(numpy_function(SET_HANDLER))
    capsule = new(ctypes.addressof(handler), ctypes.addressof(name), None)
    _kept.extend([code, handler, name, capsule])
    set_handler(capsule)
