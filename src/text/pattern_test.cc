#include "text/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

template <typename Action>
std::string UsageError(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(Pattern, FindsItselfAnywhere) {
  EXPECT_TRUE(Pattern("ffn_(up|down)").FindsItselfIn("blk.1.ffn_down.weight"));
  EXPECT_FALSE(Pattern("^ffn").FindsItselfIn("blk.1.ffn_down.weight"));
  EXPECT_TRUE(Pattern("blk\\.1\\d?\\.").FindsItselfIn("blk.12.x"));
  EXPECT_FALSE(Pattern("x").FindsItselfIn(""));
}

TEST(Pattern, WhatIsNoExpressionIsNamed) {
  EXPECT_THAT(UsageError([] { Pattern("a(b"); }), HasSubstr("'a(b' is not a regular expression: missing"));
}

// These took the stack and endless time of std::regex.
TEST(Pattern, NoExpressionExhaustsTheStackOrHangs) {
  EXPECT_THAT(UsageError([] { Pattern(Repeated("(", 20000) + Repeated(")", 20000)); }), HasSubstr("nested"));
  const Pattern slow("^(a+)+$");
  EXPECT_THAT(UsageError([&] { slow.FindsItselfIn(Repeated("a", 100) + "!"); }), HasSubstr("too long"));
}

}  // namespace
}  // namespace assay
