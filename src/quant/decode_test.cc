#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/half.h"
#include "base/rng.h"
#include "quant/bytes.h"
#include "quant/formats.h"
#include "quant/q_layouts.h"

// Decoders against blocks whose bytes and values were worked out by hand, and against a second decoder that takes one
// value at a time out of the bits.

namespace assay {
namespace {

constexpr uint16_t kOne = 0x3C00, kTwo = 0x4000, kHalf = 0x3800, kQuarter = 0x3400, kEighth = 0x3000,
                   kMinusOne = 0xBC00;

std::vector<float> Decode(Format format, const std::vector<uint8_t>& bytes) {
  const FormatTraits& traits = TraitsOf(format);
  std::vector<float> x(bytes.size() / static_cast<size_t>(traits.block_bytes) * static_cast<size_t>(traits.block_size));
  traits.decode(bytes.data(), x.data(), static_cast<int64_t>(x.size()));
  return x;
}

// A block of zero bytes with some set.
std::vector<uint8_t> Block(Format format, const std::map<size_t, uint8_t>& set) {
  std::vector<uint8_t> bytes(static_cast<size_t>(TraitsOf(format).block_bytes));
  for (const auto& [at, value] : set) bytes[at] = value;
  return bytes;
}

void Fill(std::vector<uint8_t>& bytes, size_t from, size_t to, uint8_t value) {
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.begin() + static_cast<std::ptrdiff_t>(to), value);
}

// All values are `rest` but those listed.
void ExpectValues(Format format, const std::vector<uint8_t>& bytes, float rest, const std::map<size_t, float>& others) {
  const std::vector<float> x = Decode(format, bytes);
  for (size_t i = 0; i < x.size(); ++i) {
    const auto it = others.find(i);
    EXPECT_EQ(x[i], it == others.end() ? rest : it->second) << "value " << i;
  }
}

TEST(DecodeByHand, FloatsOfSixteenAndThirtyTwoBits) {
  EXPECT_THAT(Decode(Format::kF16, {0x00, 0x3C, 0x00, 0xC0, 0x01, 0x00}), testing::ElementsAre(1.0F, -2.0F, 0x1p-24F));
  EXPECT_THAT(Decode(Format::kBF16, {0x80, 0x3F, 0x40, 0xC0}), testing::ElementsAre(1.0F, -3.0F));
  EXPECT_THAT(Decode(Format::kF32, {0x00, 0x00, 0x80, 0x3F}), testing::ElementsAre(1.0F));
}

TEST(DecodeByHand, Q4_0) {
  std::vector<uint8_t> bytes = Block(Format::kQ4_0, {});
  Store(kHalf, bytes.data());
  Fill(bytes, 2, 18, 0x88);  // code 8 - 8
  bytes[2] = 0x1F;           // value 0: 15 - 8; value 16: 1 - 8
  ExpectValues(Format::kQ4_0, bytes, 0.0F, {{0, 3.5F}, {16, -3.5F}});
}

TEST(DecodeByHand, Q4_1) {
  std::vector<uint8_t> bytes = Block(Format::kQ4_1, {{4, 0xF1}});
  Store(kHalf, bytes.data());
  Store(kMinusOne, bytes.data() + 2);
  ExpectValues(Format::kQ4_1, bytes, -1.0F, {{0, -0.5F}, {16, 6.5F}});
}

TEST(DecodeByHand, Q5_0) {
  // High bits of values 0 and 17; low bits 3 of value 0 and 15 of value 17.
  std::vector<uint8_t> bytes = Block(Format::kQ5_0, {{2, 0x01}, {4, 0x02}, {6, 0x03}, {7, 0xF0}});
  Store(kTwo, bytes.data());
  ExpectValues(Format::kQ5_0, bytes, -32.0F, {{0, 6.0F}, {17, 30.0F}});
}

TEST(DecodeByHand, Q5_1) {
  std::vector<uint8_t> bytes = Block(Format::kQ5_1, {{4, 0x01}, {6, 0x02}, {8, 0x03}, {9, 0xF0}});
  Store(kQuarter, bytes.data());
  Store(kOne, bytes.data() + 2);
  ExpectValues(Format::kQ5_1, bytes, 1.0F, {{0, 19 * 0.25F + 1.0F}, {17, 31 * 0.25F + 1.0F}});
}

TEST(DecodeByHand, Q8_0) {
  std::vector<uint8_t> bytes = Block(Format::kQ8_0, {{2, 0x7F}, {3, 0x80}, {33, 0x01}});
  Store(kEighth, bytes.data());
  ExpectValues(Format::kQ8_0, bytes, 0.0F, {{0, 15.875F}, {1, -16.0F}, {31, 0.125F}});
}

TEST(DecodeByHand, IQ4_NL) {
  std::vector<uint8_t> bytes = Block(Format::kIQ4_NL, {});
  Store(kOne, bytes.data());
  Fill(bytes, 2, 18, 0x88);
  bytes[2] = 0x70;
  bytes[3] = 0xF8;
  ExpectValues(Format::kIQ4_NL, bytes, 1.0F, {{0, -127.0F}, {16, -10.0F}, {17, 113.0F}});
}

TEST(DecodeByHand, IQ4_XS) {
  std::vector<uint8_t> bytes = Block(Format::kIQ4_XS, {});
  Store(kHalf, bytes.data());
  bytes[2] = 0xAA;  // top bits: 2 of groups 0 to 3, so that their scales are 0 plus the low ones
  bytes[3] = 0xEA;  // and of 4 to 6; 3 of group 7
  bytes[4] = 0x21;  // low bits: group 0: 1, group 1: 2
  bytes[7] = 0xF0;  // group 7: 15 + 3 * 16 - 32 = 31
  Fill(bytes, 8, 8 + 16, 0x88);
  Fill(bytes, 24, 24 + 16, 0x87);
  Fill(bytes, 120, 136, 0xF0);
  bytes[8] = 0x0F;  // value 0: level 113; value 16: level -127
  std::map<size_t, float> others = {{0, 56.5F}, {16, -63.5F}};
  for (size_t i = 1; i < 32; ++i) others.insert({i, 0.5F});
  for (size_t i = 32; i < 48; ++i) others[i] = -10.0F;
  for (size_t i = 48; i < 64; ++i) others[i] = 1.0F;
  for (size_t i = 224; i < 240; ++i) others[i] = 0.5F * 31 * -127;
  for (size_t i = 240; i < 256; ++i) others[i] = 0.5F * 31 * 113;
  ExpectValues(Format::kIQ4_XS, bytes, 0.0F, others);
}

TEST(DecodeByHand, MXFP4) {
  std::vector<uint8_t> bytes = Block(Format::kMXFP4, {{0, 127}, {1, 0x97}, {2, 0xF2}, {16, 0x81}});
  // The scale is 1: levels 6 and -0.5, 1 and -6, 0.5 and -0.
  ExpectValues(Format::kMXFP4, bytes, 0.0F, {{0, 6.0F}, {16, -0.5F}, {1, 1.0F}, {17, -6.0F}, {15, 0.5F}});
  bytes[0] = 130;
  ExpectValues(Format::kMXFP4, bytes, 0.0F, {{0, 48.0F}, {16, -4.0F}, {1, 8.0F}, {17, -48.0F}, {15, 4.0F}});
  bytes[0] = 0;  // subnormal: 2^-127
  ExpectValues(Format::kMXFP4, bytes, 0.0F,
               {{0, 6 * 0x1p-127F}, {16, -0x1p-128F}, {1, 0x1p-127F}, {17, -6 * 0x1p-127F}, {15, 0x1p-128F}});
}

TEST(DecodeByHand, Q2_K) {
  std::vector<uint8_t> bytes = Block(Format::kQ2_K, {});
  Fill(bytes, 0, 16, 0x21);  // scale 1, min 2: value = code - 1
  bytes[3] = 0x4F;           // values 48 to 63: 15 * code - 2
  bytes[16] = 0xE4;          // values 0, 32, 64, 96: codes 0, 1, 2, 3
  bytes[16 + 16] = 0x08;     // value 48: code 2
  bytes[16 + 63] = 0xC0;     // value 255: code 3
  Store(kOne, bytes.data() + 80);
  Store(kHalf, bytes.data() + 82);
  std::map<size_t, float> others = {{32, 0.0F}, {64, 1.0F}, {96, 2.0F}, {255, 2.0F}};
  for (size_t i = 48; i < 64; ++i) others[i] = -2.0F;
  others[48] = 28.0F;
  ExpectValues(Format::kQ2_K, bytes, -1.0F, others);
}

TEST(DecodeByHand, Q3_K) {
  std::vector<uint8_t> bytes = Block(Format::kQ3_K, {});
  Fill(bytes, 0, 32, 0xFF);    // third bits set: codes 0 and up
  bytes[0] = 0xFE;             // but that of value 0
  bytes[32] = 0x03;            // value 0: 3 - 4
  bytes[32 + 32 + 16] = 0x02;  // value 144: 2
  Fill(bytes, 96, 104, 0x11);  // scales 1 + 2 * 16 - 32 = 1
  Fill(bytes, 104, 108, 0xAA);
  bytes[97] = 0xF1;  // scale 9 (values 144 to 159): 15 + 3 * 16 - 32 = 31
  bytes[105] = 0xBA;
  Store(kHalf, bytes.data() + 108);
  ExpectValues(Format::kQ3_K, bytes, 0.0F, {{0, -0.5F}, {144, 31.0F}});
}

// Scale 1 and min 2 for values 0 to 31, scale 33 and min 50 for values 160 to 191, 0 for the others.
void SetPairs(uint8_t* pairs) {
  pairs[0] = 1;
  pairs[4] = 2;
  pairs[1] = 0x80;
  pairs[5] = 0xC0;
  pairs[9] = 0x21;
}

std::map<size_t, float> ValuesOfPairs() {
  std::map<size_t, float> values;
  for (size_t i = 0; i < 32; ++i) values[i] = -1.0F;
  for (size_t i = 160; i < 192; ++i) values[i] = -25.0F;
  return values;
}

TEST(DecodeByHand, Q4_K) {
  std::vector<uint8_t> bytes = Block(Format::kQ4_K, {{16, 0x0F}, {16 + 64, 0x70}});
  Store(kOne, bytes.data());
  Store(kHalf, bytes.data() + 2);
  SetPairs(bytes.data() + 4);
  std::map<size_t, float> values = ValuesOfPairs();
  values[0] = 1 * 15 - 1;
  values[160] = 33 * 7 - 25;
  ExpectValues(Format::kQ4_K, bytes, 0.0F, values);
}

TEST(DecodeByHand, Q5_K) {
  std::vector<uint8_t> bytes = Block(Format::kQ5_K, {{16, 0x21}, {48, 0x0F}, {48 + 64, 0x70}});
  Store(kOne, bytes.data());
  Store(kHalf, bytes.data() + 2);
  SetPairs(bytes.data() + 4);
  std::map<size_t, float> values = ValuesOfPairs();
  values[0] = 1 * 31 - 1;
  values[160] = 33 * 23 - 25;
  ExpectValues(Format::kQ5_K, bytes, 0.0F, values);
}

TEST(DecodeByHand, Q6_K) {
  std::vector<uint8_t> bytes = Block(Format::kQ6_K, {{0, 0xA5}, {128, 0xE4}});
  Fill(bytes, 192, 207, 4);  // 0.25 * 4 = 1
  bytes[207] = 0x80;         // values 240 to 255: 0.25 * -128 * (0 - 32)
  Store(kQuarter, bytes.data() + 208);
  std::map<size_t, float> others = {{0, 5.0F - 32}, {32, 16.0F - 32}, {64, 42.0F - 32}, {96, 48.0F - 32}};
  for (size_t i = 240; i < 256; ++i) others[i] = 1024.0F;
  ExpectValues(Format::kQ6_K, bytes, -32.0F, others);
}

// The second decoder: bits by their positions in the block.
unsigned Bits(const uint8_t* bytes, size_t byte, size_t shift, size_t count) {
  unsigned value = 0;
  for (size_t k = 0; k < count; ++k) {
    const size_t at = byte * 8 + shift + k;
    value |= ((bytes[at / 8] >> (at % 8)) & 1U) << k;
  }
  return value;
}

float Affine(float d, unsigned scale, float dmin, unsigned min, unsigned code) {
  const float product = d * static_cast<float>(scale), offset = dmin * static_cast<float>(min);
  const float high = product * static_cast<float>(code);
  return high - offset;
}

float Symmetric(float d, int scale, int code) {
  const float product = d * static_cast<float>(scale);
  return product * static_cast<float>(code);
}

float SlowQ2K(const uint8_t* b, size_t i) {
  const size_t half = i / 128, row = i % 128 / 32, group = i / 16;
  return Affine(LoadHalf(b + 80), Bits(b, group, 0, 4), LoadHalf(b + 82), Bits(b, group, 4, 4),
                Bits(b, 16 + half * 32 + i % 32, row * 2, 2));
}

float SlowQ3K(const uint8_t* b, size_t i) {
  const size_t half = i / 128, row = i % 128 / 32, group = i / 16;
  const unsigned low = Bits(b, 32 + half * 32 + i % 32, row * 2, 2), high = Bits(b, i % 32, i / 32, 1);
  const unsigned scale =
      Bits(b, 96 + group % 8, group < 8 ? 0 : 4, 4) + 16 * Bits(b, 104 + group % 4, group / 4 * 2, 2);
  return Symmetric(LoadHalf(b + 108), static_cast<int>(scale) - 32, static_cast<int>(low + 4 * high) - 4);
}

unsigned SlowScale(const uint8_t* pairs, size_t group) {
  return group < 4 ? Bits(pairs, group, 0, 6) : Bits(pairs, group + 4, 0, 4) + 16 * Bits(pairs, group - 4, 6, 2);
}

unsigned SlowMin(const uint8_t* pairs, size_t group) {
  return group < 4 ? Bits(pairs, group + 4, 0, 6) : Bits(pairs, group + 4, 4, 4) + 16 * Bits(pairs, group, 6, 2);
}

float SlowQ4K(const uint8_t* b, size_t i) {
  const unsigned code = Bits(b, 16 + i / 64 * 32 + i % 32, i % 64 < 32 ? 0 : 4, 4);
  return Affine(LoadHalf(b), SlowScale(b + 4, i / 32), LoadHalf(b + 2), SlowMin(b + 4, i / 32), code);
}

float SlowQ5K(const uint8_t* b, size_t i) {
  const unsigned low = Bits(b, 48 + i / 64 * 32 + i % 32, i % 64 < 32 ? 0 : 4, 4),
                 high = Bits(b, 16 + i % 32, i / 32, 1);
  return Affine(LoadHalf(b), SlowScale(b + 4, i / 32), LoadHalf(b + 2), SlowMin(b + 4, i / 32), low + 16 * high);
}

float SlowQ6K(const uint8_t* b, size_t i) {
  const size_t half = i / 128, row = i % 128 / 32;
  const unsigned low = Bits(b, half * 64 + row % 2 * 32 + i % 32, row < 2 ? 0 : 4, 4);
  const unsigned high = Bits(b, 128 + half * 32 + i % 32, row * 2, 2);
  return Symmetric(LoadHalf(b + 208), static_cast<int8_t>(b[192 + i / 16]), static_cast<int>(low + 16 * high) - 32);
}

float SlowIQ4XS(const uint8_t* b, size_t i) {
  const size_t group = i / 32;
  const unsigned scale = Bits(b, 4, group * 4, 4) + 16 * Bits(b, 2, group * 2, 2);
  const unsigned code = Bits(b, 8 + group * 16 + i % 16, i % 32 < 16 ? 0 : 4, 4);
  return Symmetric(LoadHalf(b), static_cast<int>(scale) - 32, kIq4NlLevels[code]);
}

struct SlowDecoder {
  Format format;
  float (*value)(const uint8_t* block, size_t i);
  std::vector<size_t> halves;  // where the block has its half-precision scales
};

TEST(DecodeBits, KQuantsOfRandomBytesAgreeWithTheLayoutsReadBitByBit) {
  const std::vector<SlowDecoder> decoders = {{Format::kQ2_K, SlowQ2K, {80, 82}}, {Format::kQ3_K, SlowQ3K, {108}},
                                             {Format::kQ4_K, SlowQ4K, {0, 2}},   {Format::kQ5_K, SlowQ5K, {0, 2}},
                                             {Format::kQ6_K, SlowQ6K, {208}},    {Format::kIQ4_XS, SlowIQ4XS, {0}}};
  Rng rng(11);
  for (const SlowDecoder& decoder : decoders) {
    const auto size = static_cast<size_t>(TraitsOf(decoder.format).block_bytes);
    for (int round = 0; round < 200; ++round) {
      std::vector<uint8_t> bytes(size);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng.Next());
      for (const size_t at : decoder.halves) Store(FloatToHalf(static_cast<float>(rng.Normal())), bytes.data() + at);
      const std::vector<float> x = Decode(decoder.format, bytes);
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(std::bit_cast<uint32_t>(x[i]), std::bit_cast<uint32_t>(decoder.value(bytes.data(), i)))
            << TraitsOf(decoder.format).name << " value " << i;
      }
    }
  }
}

// tests/data/decoded_blocks.json: random blocks as the Python package gguf decodes them.
std::vector<uint8_t> FromHex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

TEST(DecodeOracle, EveryFormatDecodesAsThePythonPackageDoes) {
  const auto cases = nlohmann::json::parse(ReadFile(std::string(ASSAY_SOURCE_DIR) + "/tests/data/decoded_blocks.json"));
  for (const FormatTraits& traits : Formats()) {
    if (traits.block_size == 1) continue;
    ASSERT_TRUE(cases.contains(traits.name)) << traits.name;
    const nlohmann::json& blocks = cases[std::string(traits.name)];
    const std::vector<float> x = Decode(traits.format, FromHex(blocks["bytes"]));
    std::vector<float> expected(x.size());
    const std::vector<uint8_t> bits = FromHex(blocks["floats"]);
    ASSERT_EQ(bits.size(), expected.size() * sizeof(float));
    std::memcpy(expected.data(), bits.data(), bits.size());
    EXPECT_EQ(x, expected) << traits.name;
  }
}

TEST(FormatTable, KnowsTheTypesThatItCannotComputeWithByNumberAlone) {
  const FormatTraits* type = FindStoredType(16);
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(type->name, "IQ2_XXS");
  EXPECT_EQ(type->decode, nullptr);
  EXPECT_EQ(&TraitsOf(type->format), type);
  EXPECT_EQ(FindFormat(16), nullptr);
  EXPECT_EQ(FindFormat("IQ2_XXS"), nullptr);
  EXPECT_EQ(FindStoredType(12), &TraitsOf(Format::kQ4_K));
  for (const uint32_t gone : {4U, 5U, 31U, 36U, 43U}) EXPECT_EQ(FindStoredType(gone), nullptr) << gone;
}

TEST(FormatTable, FindsFormatsByNumberAndByNameInAnyCase) {
  for (const FormatTraits& traits : Formats()) {
    EXPECT_EQ(FindFormat(static_cast<uint32_t>(traits.format)), &traits);
    EXPECT_EQ(FindFormat(traits.name), &traits);
  }
  EXPECT_EQ(FindFormat("q4_k"), &TraitsOf(Format::kQ4_K));
  EXPECT_EQ(FindFormat("Q4_K_M"), nullptr);
  EXPECT_EQ(FindFormat(4), nullptr);  // Q4_2, long gone
}

TEST(FormatTable, IsInTheOrderOfTheNumbers) {
  EXPECT_TRUE(std::ranges::is_sorted(Formats(), {}, &FormatTraits::format));
}

}  // namespace
}  // namespace assay
