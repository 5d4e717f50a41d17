#pragma once

#include <vector>

#include "quant/formats.h"

// What Assay's encoders are measured against: a compact description, in double precision and in our own words, of the
// searches that llama.cpp's quantiser is published with (ggml-quants.c), with and without an importance matrix.

namespace assay::rivals {

// The weights of squared errors that the quantiser minimises for the format (one per value).
std::vector<float> Weights(Format format, const std::vector<float>& x, const std::vector<float>& importance);

// x after encoding and decoding by the published search (whole super-blocks of 256).
std::vector<float> PublishedSearch(Format format, const std::vector<float>& x, const std::vector<float>& importance);

// x after encoding and decoding without any search: scales from the extreme values alone.
std::vector<float> WithoutSearch(Format format, const std::vector<float>& x);

}  // namespace assay::rivals
