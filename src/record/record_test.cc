#include "record/record.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(ModelIdentityTest, HoldsFloatsAloneIfItsWholeMixIsFloats) {
  const auto floats = [](const std::string& mix) {
    ModelIdentity model;
    model.mix = mix;
    return HoldsFloatsAlone(model);
  };
  EXPECT_TRUE(floats("F16 100%, F32 <1%"));
  EXPECT_TRUE(floats("BF16 100%"));
  EXPECT_FALSE(floats("Q4_1 69%, Q8_0 31%, F32 <1%"));
  EXPECT_FALSE(floats("F16 99%, MXFP4 1%"));
  EXPECT_FALSE(floats("")) << "nothing is known";
}

}  // namespace
}  // namespace assay
