#pragma once

// Before a loop of a constant number of rounds over an array of vectors, which then live in registers.
#if defined(__clang__)
#define ASSAY_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ASSAY_UNROLL _Pragma("GCC unroll 16")
#endif

// Loops whose index is a constant in the body. Nothing of the standard library: see kernels.h.
namespace assay::cpu {

template <int kValue>
struct Constant {
  static constexpr int value = kValue;
};

template <int kCount, int kFirst = 0, typename Body>
__attribute__((always_inline)) constexpr void Unroll(const Body& body) {
  if constexpr (kFirst < kCount) {
    body(Constant<kFirst>());
    Unroll<kCount, kFirst + 1>(body);
  }
}

}  // namespace assay::cpu
