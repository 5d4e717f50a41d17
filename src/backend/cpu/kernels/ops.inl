// Everything but products: norms, activations, convolution. Element by element, or with a fixed order of additions.

namespace assay::cpu::ASSAY_ISA {

// Calls body(offset, lanes) over `count` values, the last time with less than 16 lanes perhaps.
template <typename Body>
__attribute__((always_inline)) inline void ForLanes(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) body(i, 16);
  if (i < count) body(i, static_cast<int>(count - i));
}

inline Floats LoadLanes(const float* p, int lanes) { return lanes == 16 ? Load(p) : LoadPart(p, lanes); }
inline void StoreLanes(float* p, Floats a, int lanes) { lanes == 16 ? Store(p, a) : StorePart(p, a, lanes); }

// e^x to about one unit in the last place: x = n ln 2 + r with |r| <= ln 2 / 2, the Taylor series of e^r to r^7 (its
// remainder is below 2^-27), and 2^n in two factors so that results below the normal range are right too.
inline Floats Exp(Floats x) {
  x = Min(Set(89.0F), Max(Set(-104.0F), x));
  const Ints n = RoundToInts(Mul(x, Set(1.44269504F)));
  const Floats whole = ToFloats(n);
  // ln 2 as a sum of a number of few bits, whose multiples are exact, and the rest.
  Floats r = Fma(whole, Set(-0.693359375F), x);
  r = Fma(whole, Set(2.12194440e-4F), r);
  Floats series = Set(1.0F / 5040);
  series = Fma(series, r, Set(1.0F / 720));
  series = Fma(series, r, Set(1.0F / 120));
  series = Fma(series, r, Set(1.0F / 24));
  series = Fma(series, r, Set(1.0F / 6));
  series = Fma(series, r, Set(0.5F));
  series = Fma(series, r, Set(1.0F));
  series = Fma(series, r, Set(1.0F));
  const Ints half = ShiftRight<1>(n);
  const Ints rest = SubInts(n, half);
  const auto power = [](Ints exponent) { return BitsToFloats(ShiftLeft<23>(AddInts(exponent, SetInts(127)))); };
  return Mul(Mul(series, power(half)), power(rest));
}

inline Floats Sigmoid(Floats x) { return Div(Set(1.0F), Add(Set(1.0F), Exp(Sub(Zero(), x)))); }
inline Floats Silu(Floats x) { return Div(x, Add(Set(1.0F), Exp(Sub(Zero(), x)))); }

// x/2 (1 + tanh u) with u = sqrt(2/pi) (x + 0.044715 x^3), which is x sigmoid(2u).
inline Floats GeluTanh(Floats x) {
  const Floats cubic = Fma(Mul(Mul(x, x), Set(0.044715F)), x, x);
  return Mul(x, Sigmoid(Mul(cubic, Set(1.59576912F))));
}

// tanh x = 1 - 2 / (1 + e^2x), whose error is a few 2^-24 of 1: enough where it is a share of a cap.
inline Floats Tanh(Floats x) { return Sub(Set(1.0F), Div(Set(2.0F), Add(Set(1.0F), Exp(Add(x, x))))); }
inline Floats Capped(Floats x, float cap) { return Mul(Set(cap), Tanh(Div(x, Set(cap)))); }

inline float SumOfProducts(const float* a, const float* b, int64_t count) {
  Floats even = Zero(), odd = Zero();
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    even = Fma(Load(a + i), Load(b + i), even);
    odd = Fma(Load(a + i + 16), Load(b + i + 16), odd);
  }
  ForLanes(count - i, [&](int64_t at, int lanes) {
    even = Fma(LoadLanes(a + i + at, lanes), LoadLanes(b + i + at, lanes), even);
  });
  return Sum(Add(even, odd));
}

inline void RmsNorm(const float* in, const float* weight, float eps, int width, float* out) {
  const float mean = SumOfProducts(in, in, width) / static_cast<float>(width);
  const Floats factor = Set(1.0F / __builtin_sqrtf(mean + eps));
  ForLanes(width, [&](int64_t i, int lanes) {
    StoreLanes(out + i, Mul(Mul(LoadLanes(in + i, lanes), factor), LoadLanes(weight + i, lanes)), lanes);
  });
}

inline float SumOf(const float* x, int64_t count) {
  Floats sum = Zero();
  ForLanes(count, [&](int64_t i, int lanes) { sum = Add(sum, LoadLanes(x + i, lanes)); });
  return Sum(sum);
}

// The mean first, then the squares of what is left of it: no cancellation.
inline void LayerNorm(const float* in, const float* weight, const float* bias, float eps, int width, float* out) {
  const Floats mean = Set(SumOf(in, width) / static_cast<float>(width));
  Floats squares = Zero();
  ForLanes(width, [&](int64_t i, int lanes) {
    float rest[16] = {};  // lanes beyond the row must count nothing
    StoreLanes(rest, Sub(LoadLanes(in + i, lanes), mean), lanes);
    squares = Fma(Load(rest), Load(rest), squares);
  });
  const Floats factor = Set(1.0F / __builtin_sqrtf(Sum(squares) / static_cast<float>(width) + eps));
  ForLanes(width, [&](int64_t i, int lanes) {
    const Floats value = Mul(Mul(Sub(LoadLanes(in + i, lanes), mean), factor), LoadLanes(weight + i, lanes));
    StoreLanes(out + i, bias == nullptr ? value : Add(value, LoadLanes(bias + i, lanes)), lanes);
  });
}

inline void L2Norm(const float* in, float eps, int width, float* out) {
  const float norm = __builtin_sqrtf(SumOfProducts(in, in, width));
  const Floats factor = Set(1.0F / (norm > eps ? norm : eps));
  ForLanes(width, [&](int64_t i, int lanes) { StoreLanes(out + i, Mul(LoadLanes(in + i, lanes), factor), lanes); });
}

inline void SiluInPlace(float* x, int64_t count) {
  ForLanes(count, [&](int64_t i, int lanes) { StoreLanes(x + i, Silu(LoadLanes(x + i, lanes)), lanes); });
}

inline void GeluInPlace(float* x, int64_t count) {
  ForLanes(count, [&](int64_t i, int lanes) { StoreLanes(x + i, GeluTanh(LoadLanes(x + i, lanes)), lanes); });
}

inline void SoftCap(float* x, float cap, int64_t count) {
  ForLanes(count, [&](int64_t i, int lanes) { StoreLanes(x + i, Capped(LoadLanes(x + i, lanes), cap), lanes); });
}

// Maxima and minima give their second operand where one is NaN.
inline void ClampedSwiglu(const float* gate, const float* up, int64_t count, float* out) {
  ForLanes(count, [&](int64_t i, int lanes) {
    const Floats g = Min(Set(7.0F), LoadLanes(gate + i, lanes));
    const Floats u = Max(Set(-7.0F), Min(Set(7.0F), LoadLanes(up + i, lanes)));
    const Floats activated = Div(g, Add(Set(1.0F), Exp(Mul(g, Set(-1.702F)))));
    StoreLanes(out + i, Mul(activated, Add(u, Set(1.0F))), lanes);
  });
}

inline void SiluProduct(const float* gate, const float* up, int64_t count, float* out) {
  ForLanes(count, [&](int64_t i, int lanes) {
    StoreLanes(out + i, Mul(Silu(LoadLanes(gate + i, lanes)), LoadLanes(up + i, lanes)), lanes);
  });
}

inline void GeluProduct(const float* gate, const float* up, int64_t count, float* out) {
  ForLanes(count, [&](int64_t i, int lanes) {
    StoreLanes(out + i, Mul(GeluTanh(LoadLanes(gate + i, lanes)), LoadLanes(up + i, lanes)), lanes);
  });
}

inline void SigmoidProduct(float* x, const float* gate, int64_t count) {
  ForLanes(count, [&](int64_t i, int lanes) {
    StoreLanes(x + i, Mul(LoadLanes(x + i, lanes), Sigmoid(LoadLanes(gate + i, lanes))), lanes);
  });
}

inline void AddScaled(float factor, const float* y, int64_t count, float* x) {
  const Floats factors = Set(factor);
  ForLanes(count, [&](int64_t i, int lanes) {
    StoreLanes(x + i, Fma(factors, LoadLanes(y + i, lanes), LoadLanes(x + i, lanes)), lanes);
  });
}

// Blocks of a row whose largest values are compared: large enough that the reduction costs little, small enough that
// looking for the place does.
constexpr int64_t kRowBlock = 1024;

// The 16 values before x + end, or all where there are fewer, and one of them repeated.
inline Floats LastLanes(const float* x, int64_t end) {
  if (end >= 16) return Load(x + end - 16);
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = x[i < end ? i : 0];
  return Load(lanes);
}

// A maximum skips NaN, so that the magnitudes' bits are what tells whether all is finite.
inline LargestOfRow FindLargest(const float* x, int64_t count) {
  constexpr int32_t kInfinity = 0x7F800000;
  Ints magnitudes = SetInts(0);
  float best = -__builtin_inff();
  int64_t best_block = 0;
  for (int64_t first = 0; first < count; first += kRowBlock) {
    const int64_t end = count - first < kRowBlock ? count : first + kRowBlock;
    Floats largest = Set(best);
    const auto take = [&](Floats values) {
      largest = Max(values, largest);
      magnitudes = MaxInts(magnitudes, AndInts(FloatBits(values), SetInts(0x7FFFFFFF)));
    };
    int64_t i = first;
    for (; i + 16 <= end; i += 16) take(Load(x + i));
    if (i < end) take(LastLanes(x, end));  // some of them again, which changes neither
    const float found = Largest(largest);
    if (found > best) {
      best = found;
      best_block = first;
    }
  }
  LargestOfRow result = {best_block, LargestInt(magnitudes) < kInfinity};
  while (result.finite && x[result.index] != best) ++result.index;
  return result;
}

// Each block's sum in float32, theirs in double.
inline double SumOfExponentials(const float* x, int64_t count, float shift) {
  double total = 0;
  const Floats shifts = Set(shift);
  for (int64_t first = 0; first < count; first += kRowBlock) {
    const int64_t end = count - first < kRowBlock ? count : first + kRowBlock;
    Floats sum = Zero();
    int64_t i = first;
    for (; i + 16 <= end; i += 16) sum = Add(sum, Exp(Sub(Load(x + i), shifts)));
    if (i < end) {
      float lanes[16];
      for (int lane = 0; lane < 16; ++lane) lanes[lane] = i + lane < end ? x[i + lane] : -__builtin_inff();
      sum = Add(sum, Exp(Sub(Load(lanes), shifts)));
    }
    total += static_cast<double>(Sum(sum));
  }
  return total;
}

inline void ToHalf(const float* in, int64_t count, uint8_t* out) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) StoreHalf(out + 2 * i, Load(in + i));
  if (i < count) {
    uint8_t last[32];
    StoreHalf(last, LoadPart(in + i, static_cast<int>(count - i)));
    __builtin_memcpy(out + 2 * i, last, static_cast<size_t>(2 * (count - i)));
  }
}

// A group of up to 16 channels, all tokens.
inline void ConvSiluGroup(const ConvArgs& args, int first, int lanes) {
  float taps[kMostConvTaps][16] = {};
  for (int lane = 0; lane < lanes; ++lane) {
    for (int w = 0; w < args.window; ++w) taps[w][lane] = args.weight[(first + lane) * args.window + w];
  }
  Floats taps_by_lane[kMostConvTaps];
  for (int w = 0; w < args.window; ++w) taps_by_lane[w] = Load(taps[w]);
  for (int t = 0; t < args.tokens; ++t) {
    const float* in = args.inputs + static_cast<int64_t>(t) * args.channels + first;
    Floats sum = Zero();
    for (int w = 0; w < args.window; ++w, in += args.channels) sum = Fma(taps_by_lane[w], LoadLanes(in, lanes), sum);
    StoreLanes(args.out + static_cast<int64_t>(t) * args.channels + first, Silu(sum), lanes);
  }
}

inline void ConvSilu(const ConvArgs& args, int first_channel, int last_channel) {
  for (int c = first_channel; c < last_channel; c += 16) {
    ConvSiluGroup(args, c, last_channel - c < 16 ? last_channel - c : 16);
  }
}

}  // namespace assay::cpu::ASSAY_ISA
