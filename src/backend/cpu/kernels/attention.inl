// Attention of a few query heads that share one key-value head, for a tile of tokens. A token's scores, maximum, sum
// and weighted sum go through its own positions in order, from its own first one: the tile changes nothing.

namespace assay::cpu::ASSAY_ISA {

constexpr int kKeyTile = 16;

// Rows of the cache at positions first to first + count, in float32 and padded with zeros to whole vectors.
inline void LoadRows(const AttendArgs& args, const uint8_t* cache, int first, int count, float* rows) {
  const int padded = (args.head_dim + 15) / 16 * 16;
  for (int i = 0; i < count; ++i, rows += padded) {
    const uint8_t* row = cache + static_cast<int64_t>((first + i) % args.cells) * args.cell_bytes;
    ForLanes(args.head_dim, [&](int64_t at, int lanes) {
      if (!args.half) {
        Store(rows + at, LoadLanes(reinterpret_cast<const float*>(row) + at, lanes));
      } else if (lanes == 16) {
        Store(rows + at, LoadHalf(row + 2 * at));
      } else {
        uint8_t last[32] = {};
        __builtin_memcpy(last, row + 2 * at, static_cast<size_t>(2 * lanes));
        Store(rows + at, LoadHalf(last));
      }
    });
  }
}

template <int kKeys>
void ScoreKeys(const float* query, const float* rows, int padded, float scale, float* scores) {
  Floats sums[kKeys];
  Unroll<kKeys>([&](auto k) { sums[k.value] = Zero(); });
  for (int at = 0; at < padded; at += 16) {
    const Floats q = Load(query + at);
    Unroll<kKeys>([&](auto k) __attribute__((always_inline)) {
      sums[k.value] = Fma(q, Load(rows + k.value * padded + at), sums[k.value]);
    });
  }
  Unroll<kKeys>([&](auto k) { scores[k.value] = Sum(sums[k.value]) * scale; });
}

// Scores become weights e^(score - max); returns one over their sum, to which a sink, if there is one, adds its own.
inline float SoftmaxWeights(float* scores, int count, const float* sink) {
  float most = sink != nullptr && *sink > scores[0] ? *sink : scores[0];
  ForLanes(count, [&](int64_t i, int lanes) {
    if (lanes == 16) {
      const float largest = Largest(Load(scores + i));
      most = largest > most ? largest : most;
    } else {
      for (int lane = 0; lane < lanes; ++lane) most = scores[i + lane] > most ? scores[i + lane] : most;
    }
  });
  Floats sum = Zero();
  ForLanes(count, [&](int64_t i, int lanes) {
    const Floats weights = Exp(Sub(LoadLanes(scores + i, lanes), Set(most)));
    StoreLanes(scores + i, weights, lanes);
    sum = Add(sum, LoadLanes(scores + i, lanes));
  });
  float total = Sum(sum);
  if (sink != nullptr) {
    float weight[16];
    Store(weight, Exp(Set(*sink - most)));
    total += weight[0];
  }
  return 1.0F / total;
}

template <int kVectors>
void AddValues(const float* weights, int count, const float* rows, int padded, float* sums) {
  Floats acc[kVectors];
  Unroll<kVectors>([&](auto v) { acc[v.value] = Load(sums + 16 * v.value); });
  for (int i = 0; i < count; ++i, rows += padded) {
    const Floats weight = Set(weights[i]);
    Unroll<kVectors>([&](auto v) __attribute__((always_inline)) {
      acc[v.value] = Fma(weight, Load(rows + 16 * v.value), acc[v.value]);
    });
  }
  Unroll<kVectors>([&](auto v) { Store(sums + 16 * v.value, acc[v.value]); });
}

// A query's row of work: its positions [begin, end), counted from the tile's first.
struct QueryRow {
  int begin, end;
  float* scores;  // by position from the tile's first
};

inline void Attend(const AttendArgs& args) {
  const int padded = (args.head_dim + 15) / 16 * 16;
  const int base = AttendBase(args.first, args.window);
  const int span = args.first + args.tokens - base;
  const int stride = AttendScoreStride(span);
  float* scores = args.scratch;
  float* queries = scores + static_cast<int64_t>(args.tokens) * args.heads * stride;
  float* rows = queries + static_cast<int64_t>(args.tokens) * args.heads * padded;
  const auto row_of = [&](int t, int h) {
    const int position = args.first + t;
    return QueryRow{AttendBase(position, args.window) - base, position + 1 - base,
                    scores + static_cast<int64_t>(t * args.heads + h) * stride};
  };
  const auto for_rows = [&](const auto& body) {
    for (int t = 0; t < args.tokens; ++t) {
      for (int h = 0; h < args.heads; ++h) body(t, h, row_of(t, h), queries + (t * args.heads + h) * padded);
    }
  };

  for_rows([&](int t, int h, const QueryRow&, float* query) {
    const float* q = args.queries + t * args.query_stride + h * args.head_dim;
    ForLanes(args.head_dim, [&](int64_t at, int lanes) { Store(query + at, LoadLanes(q + at, lanes)); });
  });
  for (int tile = 0; tile < span; tile += kKeyTile) {
    const int count = span - tile < kKeyTile ? span - tile : kKeyTile;
    LoadRows(args, args.keys, base + tile, count, rows);
    for_rows([&](int, int, const QueryRow& row, const float* query) {
      if (row.end <= tile || row.begin >= tile + count) return;
      int i = 0;
      for (; i + 4 <= count; i += 4) {
        ScoreKeys<4>(query, rows + i * padded, padded, args.scale, row.scores + tile + i);
      }
      for (; i < count; ++i) ScoreKeys<1>(query, rows + i * padded, padded, args.scale, row.scores + tile + i);
    });
  }
  // From here on a query's place holds its weighted sum of values.
  for_rows([&](int, int h, const QueryRow& row, float* sums) {
    if (args.softcap > 0.0F) SoftCap(row.scores + row.begin, args.softcap, row.end - row.begin);
    // The slot after the last score keeps the factor of the sums.
    row.scores[span] =
        SoftmaxWeights(row.scores + row.begin, row.end - row.begin, args.sinks == nullptr ? nullptr : args.sinks + h);
    for (int at = 0; at < padded; at += 16) Store(sums + at, Zero());
  });
  for (int tile = 0; tile < span; tile += kKeyTile) {
    const int count = span - tile < kKeyTile ? span - tile : kKeyTile;
    LoadRows(args, args.values, base + tile, count, rows);
    for_rows([&](int, int, const QueryRow& row, float* sums) {
      const int begin = row.begin > tile ? row.begin : tile;
      const int end = row.end < tile + count ? row.end : tile + count;
      if (begin >= end) return;
      const float* first = rows + (begin - tile) * padded;
      int at = 0;
      for (; at + 64 <= padded; at += 64) {
        AddValues<4>(row.scores + begin, end - begin, first + at, padded, sums + at);
      }
      for (; at < padded; at += 16) AddValues<1>(row.scores + begin, end - begin, first + at, padded, sums + at);
    });
  }
  for_rows([&](int t, int h, const QueryRow& row, const float* sums) {
    float* out = args.out + t * args.out_stride + h * args.head_dim;
    const Floats factor = Set(row.scores[span]);
    ForLanes(args.head_dim, [&](int64_t at, int lanes) { StoreLanes(out + at, Mul(Load(sums + at), factor), lanes); });
  });
}

}  // namespace assay::cpu::ASSAY_ISA
