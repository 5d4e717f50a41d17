#include "base/one_line.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(OneLine, KeepsWhatATerminalShows) {
  for (const char* text : {"", "plain text.gguf", "Модель 模型 é 😀"}) EXPECT_EQ(OneLine(text), text);
}

TEST(OneLine, NothingCanForgeALineOrCommandTheTerminal) {
  EXPECT_EQ(OneLine("a\nassay: b\r\t\x1B[2J\x7F\a"), "a assay: b???[2J??");
  EXPECT_EQ(OneLine("a\xC2\x9B"
                    "2Jb"),
            "a?2Jb")
      << "U+009B, as one character what ESC [ is";
  EXPECT_EQ(OneLine("a\xE2\x80\xAE"
                    "fugg.b"),
            "a?fugg.b")
      << "U+202E, right to left";
  EXPECT_EQ(OneLine("a\xE2\x81\xA6"
                    "b\xEF\xBB\xBF"),
            "a?b?");
}

TEST(OneLine, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_EQ(OneLine("a\xFF"
                    "b\x9B"
                    "c\xC3"),
            "a?b?c?");
  EXPECT_EQ(OneLine("\xC0\x8A\xED\xA0\x80"), "?????") << "overlong; a surrogate";
}

}  // namespace
}  // namespace assay
