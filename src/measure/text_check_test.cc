#include "measure/text_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace assay {
namespace {

using std::string_literals::operator""s;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(CheckText, Utf8IsTaken) {
  EXPECT_THAT(CheckText("", "t"), IsEmpty());
  EXPECT_THAT(CheckText("plain, Кириллица, 中文, 😀\n", "t"), IsEmpty());
}

TEST(CheckText, OtherEncodingsAreRefused) {
  for (const std::string& text : {"\xFF\xFEh\0i\0"s, "\xFE\xFF\0h\0i"s, "h\0i\0 \0t\0"s}) {
    try {
      CheckText(text, "t.txt");
      ADD_FAILURE() << "taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadFile);
      EXPECT_THAT(error.what(), AllOf(HasSubstr("t.txt"), HasSubstr("UTF-16")));
    }
  }
}

TEST(CheckText, AMarkAndForeignBytesAreTold) {
  EXPECT_THAT(CheckText("\xEF\xBB\xBFtext", "t"), ElementsAre(HasSubstr("byte order mark")));
  EXPECT_THAT(CheckText("caf\xE9 et th\xE9", "t"),
              ElementsAre(HasSubstr("2 of 11 bytes (18 %) are not UTF-8, the first at offset 3")));
}

TEST(CheckText, CarriageReturnsAreSeen) {
  EXPECT_TRUE(HasCarriageReturns("a\r\nb"));
  EXPECT_FALSE(HasCarriageReturns("a\nb\r"));
}

}  // namespace
}  // namespace assay
