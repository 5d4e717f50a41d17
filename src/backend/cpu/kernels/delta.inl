// The gated delta rule for a few rows of one head's state, all tokens of the batch: rows are independent of each other,
// and stay in registers from the first token to the last.

namespace assay::cpu::ASSAY_ISA {

constexpr float kStateBound = 1e6F;

// kVectors: vectors of a row, or 0 for any number up to kMostStateVectors.
template <int kVectors>
constexpr int kRowVectors = kVectors > 0 ? kVectors : kMostStateVectors;

template <int kVectors>
__attribute__((always_inline)) inline Floats LoadVector(const float* p, int index, int d) {
  const int left = d - 16 * index;
  return kVectors > 0 || left >= 16 ? Load(p + 16 * index) : LoadPart(p + 16 * index, left);
}

// Body over the vectors of a row.
template <int kVectors, typename Body>
__attribute__((always_inline)) inline void ForVectors(int d, const Body& body) {
  if constexpr (kVectors > 0) {
    Unroll<kVectors>([&](auto i) __attribute__((always_inline)) { body(i.value); });
  } else {
    for (int i = 0; i < (d + 15) / 16; ++i) body(i);
  }
}

// Even and odd vectors are summed apart, which halves the latency.
template <int kVectors>
__attribute__((always_inline)) inline float RowDot(const Floats* row, const float* x, int d) {
  Floats sums[2] = {Zero(), Zero()};
  ForVectors<kVectors>(
      d, [&](int i)
             __attribute__((always_inline)) { sums[i % 2] = Fma(row[i], LoadVector<kVectors>(x, i, d), sums[i % 2]); });
  return Sum(Add(sums[0], sums[1]));
}

// Rows of the state, and a bound of their magnitudes: below the limit there is nothing to clamp.
template <int kVectors, int kRows>
struct StateRows {
  Floats of[kRows][kRowVectors<kVectors>];
  float bound;
};

template <int kVectors, int kRows>
__attribute__((always_inline)) inline void LoadState(const float* state, int d, StateRows<kVectors, kRows>& rows) {
  Floats most = Zero();
  ASSAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ForVectors<kVectors>(
        d, [&](int i) __attribute__((always_inline)) {
          rows.of[r][i] = LoadVector<kVectors>(state + r * d, i, d);
          most = Max(most, Max(rows.of[r][i], Sub(Zero(), rows.of[r][i])));
        });
  }
  rows.bound = Largest(most);
}

template <int kVectors, int kRows>
__attribute__((always_inline)) inline void StoreState(float* state, int d, const StateRows<kVectors, kRows>& rows) {
  ASSAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ForVectors<kVectors>(
        d, [&](int i) __attribute__((always_inline)) {
          StoreLanes(state + r * d + 16 * i, rows.of[r][i], d - 16 * i < 16 ? d - 16 * i : 16);
        });
  }
}

template <int kVectors, int kRows>
__attribute__((always_inline)) inline void Decay(float decay, int d, StateRows<kVectors, kRows>& rows) {
  const Floats factor = Set(decay);
  ASSAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ForVectors<kVectors>(
        d, [&](int i) __attribute__((always_inline)) { rows.of[r][i] = Mul(rows.of[r][i], factor); });
  }
  rows.bound *= decay;
}

// Each row += its delta * key, within +-kStateBound. Keys have norm 1; the factor covers the rounding of both sides.
template <int kVectors, int kRows>
__attribute__((always_inline)) inline void Correct(const float* deltas, const float* key, int d,
                                                   StateRows<kVectors, kRows>& rows) {
  float most = 0.0F;
  ASSAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    const Floats factor = Set(deltas[r]);
    ForVectors<kVectors>(
        d, [&](int i) __attribute__((always_inline)) {
          rows.of[r][i] = Fma(factor, LoadVector<kVectors>(key, i, d), rows.of[r][i]);
        });
    most += __builtin_fabsf(deltas[r]);
  }
  rows.bound = (rows.bound + most) * 1.0001F;
  if (__builtin_expect(rows.bound < kStateBound, 1)) return;
  ASSAY_UNROLL
  for (int r = 0; r < kRows; ++r) {
    ForVectors<kVectors>(
        d, [&](int i) __attribute__((always_inline)) {
          rows.of[r][i] = Min(Set(kStateBound), Max(Set(-kStateBound), rows.of[r][i]));
        });
  }
  rows.bound = kStateBound;
}

// Takes rows through logged steps.
template <int kVectors, int kRows>
__attribute__((always_inline)) inline void ApplySteps(const float* steps, int64_t stride, int count, int first_row,
                                                      int d, StateRows<kVectors, kRows>& rows) {
  for (int t = 0; t < count; ++t, steps += stride) {
    Decay(steps[2 * d], d, rows);
    Correct(steps + d + first_row, steps, d, rows);
  }
}

template <int kVectors, int kRows>
void DeltaRows(const DeltaArgs& args, int first_row) {
  const int d = args.head_dim;
  StateRows<kVectors, kRows> rows;
  float* state = args.state + static_cast<int64_t>(first_row) * d;
  LoadState(state, d, rows);
  const bool logged = args.steps != nullptr;
  if (logged) ApplySteps(args.steps, args.step_stride, args.pending, first_row, d, rows);
  for (int t = 0; t < args.tokens; ++t) {
    const float* key = args.keys + t * args.key_stride;
    const float* query = args.queries + t * args.key_stride;
    const float* value = args.values + t * args.value_stride + first_row;
    const float beta = args.betas[t * args.gate_stride];
    float* out = args.out + t * args.out_stride + first_row;
    Decay(args.decays[t * args.gate_stride], d, rows);
    float deltas[kRows];
    ASSAY_UNROLL
    for (int r = 0; r < kRows; ++r) deltas[r] = beta * (value[r] - RowDot<kVectors>(rows.of[r], key, d));
    Correct(deltas, key, d, rows);
    ASSAY_UNROLL
    for (int r = 0; r < kRows; ++r) out[r] = RowDot<kVectors>(rows.of[r], query, d) * args.out_scale;
    if (!logged) continue;
    float* logged_deltas = args.steps + (args.pending + t) * args.step_stride + d + first_row;
    for (int r = 0; r < kRows; ++r) logged_deltas[r] = deltas[r];
  }
  if (!logged) StoreState(state, d, rows);
}

template <int kVectors, int kRows>
void ReplayRows(const ReplayArgs& args, int first_row) {
  StateRows<kVectors, kRows> rows;
  float* state = args.state + static_cast<int64_t>(first_row) * args.head_dim;
  LoadState(state, args.head_dim, rows);
  ApplySteps(args.steps, args.step_stride, args.tokens, first_row, args.head_dim, rows);
  StoreState(state, args.head_dim, rows);
}

// Calls body<vectors, rows>(row) over rows [first, last), several at a time where registers allow it.
template <typename Body>
void ForStateRows(int d, int first, int last, const Body& body) {
  const auto walk = [&](auto vectors, auto rows) {
    int row = first;
    for (; row + rows.value <= last; row += rows.value) body(vectors, rows, row);
    for (; row < last; ++row) body(vectors, Constant<1>(), row);
  };
  switch (d) {
    case 64:
      return walk(Constant<4>(), Constant<kDeltaRows>());
    case 128:
      return walk(Constant<8>(), Constant<kDeltaRows>());
    default:
      return walk(Constant<0>(), Constant<1>());
  }
}

inline void Delta(const DeltaArgs& args, int first, int last) {
  ForStateRows(args.head_dim, first, last, [&](auto vectors, auto rows, int row) {
    DeltaRows<decltype(vectors)::value, decltype(rows)::value>(args, row);
  });
}

inline void Replay(const ReplayArgs& args, int first, int last) {
  ForStateRows(args.head_dim, first, last, [&](auto vectors, auto rows, int row) {
    ReplayRows<decltype(vectors)::value, decltype(rows)::value>(args, row);
  });
}

}  // namespace assay::cpu::ASSAY_ISA
