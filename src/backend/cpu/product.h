#pragma once

#include <cstdint>
#include <span>

#include "backend/cpu/activations.h"
#include "backend/cpu/cpu_weight.h"
#include "backend/cpu/kernels/kernels.h"
#include "base/thread_pool.h"

namespace assay::cpu {

// out[t][rows of the weight] = weight[expert] x[first + t] for `tokens` tokens of the activations.
struct Product {
  const CpuWeight* weight = nullptr;
  int64_t expert = 0;
  int first = 0, tokens = 0;
  float* out = nullptr;
};

// The encoding that a product of so many tokens takes.
Encoding EncodingFor(const KernelTable& kernels, Packing packing, int tokens, Arithmetic arithmetic);

// All products of one batch of activations, encoded for that arithmetic, in one parallel loop over panels.
void RunProducts(const KernelTable& kernels, ThreadPool& pool, std::span<const Product> products,
                 const Activations& activations, Arithmetic arithmetic);

}  // namespace assay::cpu
