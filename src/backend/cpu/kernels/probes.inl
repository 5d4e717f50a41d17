// Loops that live in registers and measure the peak rates; included once per instruction set, after its vector types.

namespace assay::cpu::ASSAY_ISA {

// Chains that run side by side: latency times throughput of the multiply-add units of today's processors, rounded up.
constexpr int kProbeChains = kMaxTile > 4 ? 16 : kMaxTile > 1 ? 6 : 1;

// Keeps the optimiser from folding the rounds of a loop into one.
template <typename Vector>
void Opaque(Vector& vector) {
  asm volatile("" : "+m"(vector));
}

inline double Int8Loop(int64_t rounds) {
  uint8_t ones[64];
  for (uint8_t& one : ones) one = 1;
  const Bytes codes = LoadBytes(ones);
  Bytes x = codes;
  Opaque(x);
  Ints sums[kProbeChains];
  for (Ints& sum : sums) sum = SetInts(0);
  for (int64_t round = 0; round < rounds; ++round) {
    for (Ints& sum : sums) sum = Dot(sum, codes, x);
#if defined(__x86_64__)
    asm volatile("" ::: "cc");
#endif
  }
  for (Ints& sum : sums) Opaque(sum);
  return static_cast<double>(rounds) * kProbeChains * 128;
}

inline double FmaLoop(int64_t rounds) {
  Floats a = Set(0.5F);
  Opaque(a);
  Floats sums[kProbeChains];
  for (Floats& sum : sums) sum = Set(1.0F);
  for (int64_t round = 0; round < rounds; ++round) {
    for (Floats& sum : sums) sum = Fma(sum, a, a);
  }
  for (Floats& sum : sums) Opaque(sum);
  return static_cast<double>(rounds) * kProbeChains * 32;
}

inline uint64_t ReadAll(const void* data, size_t bytes) {
  constexpr size_t kStep = 512;
  const auto* p = static_cast<const uint8_t*>(data);
  Ints sums[8];
  for (Ints& sum : sums) sum = SetInts(0);
  for (size_t at = 0; at + kStep <= bytes; at += kStep) {
    for (int i = 0; i < 8; ++i) {
      Ints line;
      const Bytes raw = LoadBytes(p + at + 64 * i);
      __builtin_memcpy(&line, &raw, sizeof(line));
      sums[i] = AddInts(sums[i], line);
    }
  }
  uint64_t digest = 0;
  for (const Ints& sum : sums) digest += static_cast<uint32_t>(SumInts(sum));
  return digest;
}

}  // namespace assay::cpu::ASSAY_ISA
