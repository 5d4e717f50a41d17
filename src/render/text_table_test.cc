#include "render/text_table.h"

#include <gtest/gtest.h>

#include "render/format.h"

namespace assay {
namespace {

TEST(TextTable, AlignsByColumnsOfTheTerminal) {
  TextTable table({{"name"}, {"bytes", true}});
  table.AddRow({"plain", "7"});
  table.AddRow({"é中文", "1234567"});
  table.AddRow({"two\nlines", "10"});
  EXPECT_EQ(table.ToString(),
            "  name         bytes\n"
            "  plain            7\n"
            "  é中文      1234567\n"
            "  two lines       10\n");
}

TEST(TextTable, WidthCountsWideAndCombiningCharacters) {
  EXPECT_EQ(DisplayWidth(""), 0U);
  EXPECT_EQ(DisplayWidth("naïve"), 5U);
  EXPECT_EQ(DisplayWidth("e\xCC\x81"), 1U);  // e and a combining accent
  EXPECT_EQ(DisplayWidth("量化"), 4U);
  EXPECT_EQ(DisplayWidth("😀"), 2U);
  EXPECT_EQ(DisplayWidth("\xFF\xC3"), 2U);  // no UTF-8: a column for each byte
}

TEST(TextTable, AbbreviateCutsBetweenCharacters) {
  EXPECT_EQ(Abbreviate("short", 5), "short");
  EXPECT_EQ(Abbreviate("longer", 5), "lo...");
  EXPECT_EQ(Abbreviate("量化量化", 6), "量...");
}

TEST(Common, OneLineHasNoControlCharacters) { EXPECT_EQ(OneLine("a\nb\x1B[m\x7F\tc"), "a b?[m??c"); }

TEST(Common, HumanFiguresRoundToTheNextUnit) {
  EXPECT_EQ(HumanBytes(999), "999 B");
  EXPECT_EQ(HumanBytes(18969568), "19.0 MB");
  EXPECT_EQ(HumanBytes(999960), "1.0 MB");
  EXPECT_EQ(HumanCount(9401264), "9.4 M");
}

}  // namespace
}  // namespace assay
