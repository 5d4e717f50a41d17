// Packed weights are what kernels/layout.h says, byte for byte, whatever the number of threads. The expected bytes are
// put together code by code from the fields that the formats' own decoders read.

#include "backend/cpu/pack.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>
#include <vector>

#include "backend/cpu/cpu_weight.h"
#include "base/rng.h"
#include "quant/k_layouts.h"
#include "quant/q_layouts.h"

namespace assay::cpu {
namespace {

using Bytes = std::vector<uint8_t>;

// A block of a file as the kernels want it: unsigned codes, and the scales as they are stored.
struct Block {
  int columns = 0;
  uint8_t codes[kSuperBlock] = {};
  uint16_t d = 0, dmin = 0;
  uint8_t scales[16] = {}, minima[16] = {};
};

template <typename Layout>
Block TakeSmall(const uint8_t* from, int offset) {
  BlockFields fields = {};
  Layout::Unpack(from, fields);
  Block block = {.columns = kBlock, .d = fields.d, .dmin = fields.min};
  for (int i = 0; i < kBlock; ++i) block.codes[i] = static_cast<uint8_t>(fields.code[i] + offset);
  return block;
}

template <typename Layout>
Block TakeSuper(const uint8_t* from, int offset) {
  typename Layout::Fields fields = {};
  Layout::Unpack(from, fields);
  Block block = {.columns = kSuperBlock, .d = fields.d};
  for (int i = 0; i < kSuperBlock; ++i) block.codes[i] = static_cast<uint8_t>(fields.code[i] + offset);
  for (int i = 0; i < Layout::kGroups; ++i) {
    block.scales[i] = static_cast<uint8_t>(fields.scale[i]);
    if constexpr (std::is_same_v<typename Layout::Fields, AffineFields>) block.minima[i] = fields.min[i];
  }
  if constexpr (std::is_same_v<typename Layout::Fields, AffineFields>) block.dmin = fields.dmin;
  return block;
}

Block TakePowers(const uint8_t* from) {
  Mxfp4Fields fields = {};
  Mxfp4Layout::Unpack(from, fields);
  Block block = {.columns = kBlock};
  block.d = static_cast<uint16_t>(std::bit_cast<uint32_t>(ExponentScale(fields.exponent)) >> 16);
  for (int i = 0; i < kBlock; ++i) block.codes[i] = static_cast<uint8_t>(fields.code[i]);
  return block;
}

enum class Scales { kOne, kOneMinimum, kSuper32, kSuper16, kSuper16Minima, kBare };

struct Expected {
  Format format;
  Scales scales;
  int low, high;  // bits
  Block (*take)(const uint8_t* from);
};

const Expected kExpected[] = {
    {Format::kQ8_0, Scales::kOne, 8, 0, [](const uint8_t* p) { return TakeSmall<Q80Layout>(p, 128); }},
    {Format::kQ4_0, Scales::kOne, 4, 0, [](const uint8_t* p) { return TakeSmall<Q40Layout>(p, 8); }},
    {Format::kQ4_1, Scales::kOneMinimum, 4, 0, [](const uint8_t* p) { return TakeSmall<Q41Layout>(p, 0); }},
    {Format::kQ5_0, Scales::kOne, 4, 1, [](const uint8_t* p) { return TakeSmall<Q50Layout>(p, 16); }},
    {Format::kQ5_1, Scales::kOneMinimum, 4, 1, [](const uint8_t* p) { return TakeSmall<Q51Layout>(p, 0); }},
    {Format::kIQ4_NL, Scales::kOne, 4, 0, [](const uint8_t* p) { return TakeSmall<Iq4NlLayout>(p, 0); }},
    {Format::kMXFP4, Scales::kOne, 4, 0, &TakePowers},
    {Format::kQ2_K, Scales::kSuper16Minima, 2, 0, [](const uint8_t* p) { return TakeSuper<Q2KLayout>(p, 0); }},
    {Format::kQ3_K, Scales::kSuper16, 2, 1, [](const uint8_t* p) { return TakeSuper<Q3KLayout>(p, 4); }},
    {Format::kQ4_K, Scales::kSuper32, 4, 0, [](const uint8_t* p) { return TakeSuper<Q4KLayout>(p, 0); }},
    {Format::kQ5_K, Scales::kSuper32, 4, 1, [](const uint8_t* p) { return TakeSuper<Q5KLayout>(p, 0); }},
    {Format::kQ6_K, Scales::kSuper16, 4, 2, [](const uint8_t* p) { return TakeSuper<Q6KLayout>(p, 32); }},
    {Format::kIQ4_XS, Scales::kBare, 4, 0, [](const uint8_t* p) { return TakeSuper<Iq4XsLayout>(p, 0); }},
};

const Expected* FindExpected(Format format) {
  const auto* found = std::ranges::find(kExpected, format, &Expected::format);
  return found == std::end(kExpected) ? nullptr : found;
}

// A record of one panel: vectors of 64 bytes at their places in a group.
class Record {
 public:
  Record(const Expected& expected, uint8_t* record) : expected_(expected), record_(record) {}

  void Put(const Block& block, int index, int lane) {
    PutScales(block, index, lane);
    for (int i = 0; i < block.columns; ++i) PutCode(index + i / kBlock, i % kBlock, lane, block.codes[i]);
  }

 private:
  int BlockVectors() const { return expected_.low + expected_.high; }
  int Together() const { return expected_.scales == Scales::kBare ? kBareScaledTogether : kScaledTogether; }
  uint8_t* Vector(int index) { return record_ + kVectorStride * index; }

  int BlockAt(int block) const {
    if (expected_.scales == Scales::kOne) return 1 + block * BlockVectors();
    if (expected_.scales == Scales::kOneMinimum) return 2 + block * BlockVectors();
    return SuperBlockAt(block, BlockVectors(), Together());
  }

  // The planes in the order that the text of layout.h has: before each vector of high bits has been used up come the
  // low ones that go with it.
  void PutCode(int block, int column, int lane, uint8_t code) {
    const int quad = column / 4, byte = 4 * lane + column % 4, low = expected_.low, high = expected_.high;
    int low_vector = quad * low / 8, high_vector = 0;
    if (high > 0) {
      const int low_for_each = low / high;  // vectors
      high_vector = quad * high / 8 * (1 + low_for_each);
      low_vector += quad * high / 8 + 1;
      Vector(BlockAt(block) + high_vector)[byte] |= static_cast<uint8_t>(code >> low << quad * high % 8);
    }
    Vector(BlockAt(block) + low_vector)[byte] |= static_cast<uint8_t>((code & ((1 << low) - 1)) << quad * low % 8);
  }

  void PutScales(const Block& block, int index, int lane) {
    const auto half = [&](int vector, int at, uint16_t bits) { std::memcpy(Vector(vector) + at + 2 * lane, &bits, 2); };
    if (block.columns == kBlock) {
      half(0, 32 * index, block.d);
      if (expected_.scales == Scales::kOneMinimum) half(1, 32 * index, block.dmin);
      return;
    }
    half(0, 0, block.d);
    half(0, 32, block.dmin);
    for (int i = 0; i < kSuperBlocks; ++i) {
      uint8_t* at =
          Vector(SuperScalesAt(i, BlockVectors(), Together())) + kVector / Together() * (i % Together()) + lane;
      switch (expected_.scales) {
        case Scales::kBare:
          at[0] = block.scales[i];
          break;
        case Scales::kSuper32:
          at[0] = block.scales[i];
          at[16] = block.minima[i];
          break;
        case Scales::kSuper16:
          at[0] = block.scales[2 * i];
          at[16] = block.scales[2 * i + 1];
          break;
        default:
          at[0] = static_cast<uint8_t>(block.scales[2 * i] | block.minima[2 * i] << 4);
          at[16] = static_cast<uint8_t>(block.scales[2 * i + 1] | block.minima[2 * i + 1] << 4);
      }
    }
  }

  const Expected& expected_;
  uint8_t* record_;
};

int64_t GroupsOf(const PackedShape& shape, int64_t rows) {
  return (rows + int64_t{kPanelRows} * shape.group - 1) / (int64_t{kPanelRows} * shape.group);
}

// All groups of a matrix, row by row.
Bytes Pack(const FormatTraits& traits, const Bytes& data, int64_t rows, int64_t columns) {
  const PackedShape shape = ShapeOf(PackingOf(traits.format), columns);
  const int64_t group_bytes = shape.records * shape.record_stride;
  Bytes out(static_cast<size_t>(GroupsOf(shape, rows) * group_bytes));
  const uint64_t row_bytes = BytesOf(traits, static_cast<uint64_t>(columns));
  const int64_t padded = (rows + kPanelRows - 1) / kPanelRows * kPanelRows;
  for (int64_t i = 0; i < padded; ++i) {
    const uint8_t* row = data.data() + static_cast<uint64_t>(std::min(i, rows - 1)) * row_bytes;
    const int64_t panel = i / kPanelRows;
    const auto lane = static_cast<int>(i % kPanelRows);
    uint8_t* to = out.data() + panel / shape.group * group_bytes + panel % shape.group * shape.panel_step;
    const Expected* expected = FindExpected(traits.format);
    if (expected == nullptr) {
      const int64_t width = traits.block_bytes;
      for (int64_t k = 0; k < columns; ++k) {
        std::memcpy(to + k * shape.record_stride + lane * width, row + k * width, static_cast<size_t>(width));
      }
      continue;
    }
    const int per_record = traits.block_size == kBlock ? kSmallBlocks : 1;
    for (int64_t b = 0; b < columns / traits.block_size; ++b, row += traits.block_bytes) {
      Record record(*expected, to + b / per_record * shape.record_stride);
      record.Put(expected->take(row), static_cast<int>(b % per_record), lane);
    }
  }
  return out;
}

class PackTest : public testing::TestWithParam<Format> {
 protected:
  // Packs random bytes on different numbers of threads.
  static void Check(int64_t rows, int64_t columns, int64_t experts) {
    const FormatTraits& traits = TraitsOf(GetParam());
    Rng rng(3);
    Bytes data(BytesOf(traits, static_cast<uint64_t>(rows * columns * experts)));
    for (uint8_t& byte : data) byte = static_cast<uint8_t>(rng.Below(256));
    Bytes packed;
    for (int64_t e = 0; e < experts; ++e) {
      const auto expert_bytes = static_cast<int64_t>(data.size()) / experts;
      const Bytes one(data.begin() + e * expert_bytes, data.begin() + (e + 1) * expert_bytes);
      const Bytes of_one = Pack(traits, one, rows, columns);
      packed.insert(packed.end(), of_one.begin(), of_one.end());
    }
    for (const int threads : {1, 2, 3, 8}) {
      ThreadPool pool(threads);
      WeightArena arena;
      const CpuWeight weight({"weight", traits.format, rows, columns, experts, data}, pool, arena);
      ASSERT_EQ(std::memcmp(weight.panel(0, 0), packed.data(), packed.size()), 0)
          << fmt::format("{} x {} x {}, {} threads", experts, rows, columns, threads);
    }
  }
};

// Rows that end in every part of a group, columns that end in every part of a record and of what is moved at once.
TEST_P(PackTest, GivesTheBytesOfTheLayoutOnAnyNumberOfThreads) {
  std::vector<int64_t> all_columns = {256, 512};
  if (TraitsOf(GetParam()).block_size == 32) all_columns = {32, 64, 160};
  if (TraitsOf(GetParam()).block_size == 1) all_columns = {1, 7, 32, 37, 80};
  for (const int64_t columns : all_columns) {
    for (const int64_t rows : {1, 3, 16, 17, 31, 32, 33, 63, 65, 200}) {
      for (const int64_t experts : {1, 2}) Check(rows, columns, experts);
    }
  }
}

// Rows of so many bytes that a group, a panel or not even that is staged at once; and such as fall on the same places
// of a cache.
TEST_P(PackTest, GivesTheSameBytesOfRowsOfAnyLength) {
  const FormatTraits& traits = TraitsOf(GetParam());
  for (const int64_t bytes : {3000, 7000, 12'000}) Check(37, bytes / traits.block_bytes * traits.block_size, 1);
  Check(37, 4096, 1);
}

// Large weights are given back slice by slice, so that no more than a slice of the file is in memory beside them.
TEST(CpuWeightTest, GivesBackWhatItTookInOrderAndOnce) {
  constexpr int64_t kRows = 1000, kColumns = 4000, kExperts = 3;
  const Bytes data(4 * kRows * kColumns * kExperts);
  ThreadPool pool(2);
  WeightArena arena;
  size_t taken = 0, parts = 0;
  WeightSource source = {"weight", Format::kF32, kRows, kColumns, kExperts, data};
  source.taken = [&](std::span<const uint8_t> part) {
    EXPECT_EQ(part.data(), data.data() + taken);
    EXPECT_LE(part.size(), size_t{16} << 20);
    taken += part.size();
    ++parts;
  };
  const CpuWeight weight(source, pool, arena);
  EXPECT_EQ(taken, data.size());
  EXPECT_EQ(parts, 3U);
}

std::vector<Format> AllFormats() {
  std::vector<Format> formats;
  for (const FormatTraits& traits : Formats()) formats.push_back(traits.format);
  return formats;
}

INSTANTIATE_TEST_SUITE_P(EveryFormat, PackTest, testing::ValuesIn(AllFormats()),
                         [](const auto& tested) { return std::string(TraitsOf(tested.param).name); });

}  // namespace
}  // namespace assay::cpu
