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

template <int kVectors>
__attribute__((always_inline)) inline void DecayRow(float decay, int d, Floats* row) {
  const Floats factor = Set(decay);
  ForVectors<kVectors>(
      d, [&](int i) __attribute__((always_inline)) { row[i] = Mul(row[i], factor); });
}

template <int kVectors>
__attribute__((always_inline)) inline void CorrectRow(float delta, const float* key, int d, Floats* row) {
  const Floats factor = Set(delta);
  ForVectors<kVectors>(
      d, [&](int i) __attribute__((always_inline)) {
        const Floats sum = Fma(factor, LoadVector<kVectors>(key, i, d), row[i]);
        row[i] = Min(Set(kStateBound), Max(Set(-kStateBound), sum));
      });
}

// Takes rows through logged steps.
template <int kVectors, int kRows>
__attribute__((always_inline)) inline void ApplySteps(const float* steps, int64_t stride, int count, int first_row,
                                                      int d, Floats (&rows)[kRows][kRowVectors<kVectors>]) {
  for (int t = 0; t < count; ++t, steps += stride) {
    const float* deltas = steps + d + first_row;
    Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
      DecayRow<kVectors>(steps[2 * d], d, rows[r.value]);
      CorrectRow<kVectors>(deltas[r.value], steps, d, rows[r.value]);
    });
  }
}

template <int kVectors, int kRows>
void DeltaRows(const DeltaArgs& args, int first_row) {
  const int d = args.head_dim;
  Floats rows[kRows][kRowVectors<kVectors>];
  float* state = args.state + static_cast<int64_t>(first_row) * d;
  Unroll<kRows>([&](auto r) {
    ForVectors<kVectors>(d, [&](int i) { rows[r.value][i] = LoadVector<kVectors>(state + r.value * d, i, d); });
  });
  const bool logged = args.steps != nullptr;
  if (logged) ApplySteps<kVectors, kRows>(args.steps, args.step_stride, args.pending, first_row, d, rows);
  for (int t = 0; t < args.tokens; ++t) {
    const float* key = args.keys + t * args.key_stride;
    const float* query = args.queries + t * args.key_stride;
    const float* value = args.values + t * args.value_stride + first_row;
    const float decay = args.decays[t * args.gate_stride];
    const float beta = args.betas[t * args.gate_stride];
    float deltas[kRows];
    Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
      DecayRow<kVectors>(decay, d, rows[r.value]);
      deltas[r.value] = beta * (value[r.value] - RowDot<kVectors>(rows[r.value], key, d));
    });
    Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
      CorrectRow<kVectors>(deltas[r.value], key, d, rows[r.value]);
      args.out[t * args.out_stride + first_row + r.value] = RowDot<kVectors>(rows[r.value], query, d) * args.out_scale;
      if (logged) args.steps[(args.pending + t) * args.step_stride + d + first_row + r.value] = deltas[r.value];
    });
  }
  if (logged) return;  // the state stays as it was
  Unroll<kRows>([&](auto r) {
    ForVectors<kVectors>(d, [&](int i) {
      StoreLanes(state + r.value * d + 16 * i, rows[r.value][i], d - 16 * i < 16 ? d - 16 * i : 16);
    });
  });
}

template <int kVectors, int kRows>
void ReplayRows(const ReplayArgs& args, int first_row) {
  const int d = args.head_dim;
  Floats rows[kRows][kRowVectors<kVectors>];
  float* state = args.state + static_cast<int64_t>(first_row) * d;
  Unroll<kRows>([&](auto r) {
    ForVectors<kVectors>(d, [&](int i) { rows[r.value][i] = LoadVector<kVectors>(state + r.value * d, i, d); });
  });
  ApplySteps<kVectors, kRows>(args.steps, args.step_stride, args.tokens, first_row, d, rows);
  Unroll<kRows>([&](auto r) {
    ForVectors<kVectors>(d, [&](int i) {
      StoreLanes(state + r.value * d + 16 * i, rows[r.value][i], d - 16 * i < 16 ? d - 16 * i : 16);
    });
  });
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
