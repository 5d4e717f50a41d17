#include "record/figures.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace assay {
namespace {

TEST(FiguresTest, EachIsNamedOnceAndExplained) {
  std::set<std::string_view> names;
  for (const Figure& figure : Figures()) {
    EXPECT_TRUE(names.insert(figure.name).second) << figure.name;
    EXPECT_FALSE(figure.meaning.empty()) << figure.name;
  }
}

TEST(FiguresTest, APlaceboHasTheFiguresOwnRow) { EXPECT_EQ(&FigureOf("placebo tok_per_s"), &FigureOf("tok_per_s")); }

TEST(FiguresTest, AFigureWithoutARowIsAFault) { EXPECT_THROW(FigureOf("goodness"), Error); }

}  // namespace
}  // namespace assay
