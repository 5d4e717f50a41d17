#include "record/figures.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace assay {
namespace {

constexpr std::string_view kPlacebo = "placebo ";

constexpr std::array kFigures = {
    // Quality.
    Figure{"ppl", "", "perplexity over the scored positions"},
    Figure{"nll", "nats", "mean negative log-likelihood of a scored position"},
    Figure{"tokens_scored", "tokens", "scored positions"},
    Figure{"windows", "windows", "windows of the text that were scored"},
    Figure{"seconds", "s", "wall time of the whole measurement"},
    Figure{"base_ppl", "", "perplexity of the base over the same positions"},
    Figure{"delta_pct", "%", "perplexity above the base's, from paired differences; positive: worse"},
    Figure{"kld_mean", "nats", "mean Kullback-Leibler divergence of the model from the base at a position"},
    Figure{"kld_median", "nats", "median of that divergence"},
    Figure{"kld_p99", "nats", "99th percentile of that divergence"},
    Figure{"kld_max", "nats", "largest of that divergence"},
    Figure{"top1_agree", "share", "positions at which model and base find the same token likeliest"},
    Figure{"engine_kld_mean", "nats", "mean divergence of everyday arithmetic from fine arithmetic, same weights"},
    Figure{"engine_kld_median", "nats", "median of that divergence"},
    Figure{"engine_kld_p99", "nats", "99th percentile of that divergence"},
    Figure{"engine_kld_max", "nats", "largest of that divergence"},
    Figure{"engine_top1_agree", "share", "positions at which both arithmetics find the same token likeliest"},
    Figure{"base_engine_kld_mean", "nats",
           "the base's mean divergence of everyday arithmetic from fine; of floats: the floor"},
    Figure{"base_engine_kld_median", "nats", "median of that divergence"},
    Figure{"base_engine_kld_p99", "nats", "99th percentile of that divergence"},
    Figure{"base_engine_kld_max", "nats", "largest of that divergence"},
    Figure{"base_engine_top1_agree", "share",
           "positions at which the base's arithmetics find the same token likeliest"},
    // Throughput.
    Figure{"tok_per_s", "tok/s", "tokens per second, mean over the rounds"},
    Figure{"tok_per_s_sd", "tok/s", "standard deviation of the rounds' rates"},
    Figure{"tok_per_s_median", "tok/s", "median of the rounds' rates"},
    Figure{"bytes_per_token", "bytes", "weights that one generated token reads"},
    Figure{"cache_bytes_per_token", "bytes", "keys and values that one generated token reads, mean over the test"},
    Figure{"read_bytes_per_s", "bytes/s", "both, at the median rate"},
    Figure{"bandwidth_util", "share", "of the read bandwidth probed in the same run"},
    Figure{"ops_per_s", "op/s",
           "two operations for each parameter that a prompt's token is multiplied with, median rate"},
    Figure{"ops_util", "share", "of the int8 peak probed in the same run"},
    Figure{"joules_per_token", "J", "energy that the machine took for a token, where it tells"},
    // Of two models or of a model with itself.
    Figure{"speed_vs_base", "times", "speed over the base's in the same round, geometric mean"},
    Figure{"size_pct", "%", "size of the file above the base's"},
    // Speculation.
    Figure{"drafted", "tokens", "guesses made"},
    Figure{"accepted", "tokens", "guesses taken"},
    Figure{"accept_rate", "share", "guesses taken of those made"},
    Figure{"accept_per_guess", "share", "guesses taken of those that were reached, all before them taken"},
    Figure{"rounds", "rounds", "rounds of drafting and verifying"},
    Figure{"tokens_per_round", "tokens", "tokens after the first of each text, over rounds"},
    Figure{"baseline_tok_per_s", "tok/s", "the target alone, all texts together"},
    Figure{"time_to_first_token_s", "s",
           "until the first token, the draft's reading of the prompt included; mean over texts"},
    Figure{"baseline_time_to_first_token_s", "s", "the same of the target alone"},
    Figure{"speedup", "times",
           "time per token of the target alone over that with the draft, geometric mean over prompts"},
    Figure{"predicted_speedup", "times", "what acceptance and measured costs should give"},
    Figure{"draft_cost", "steps", "one guess"},
    Figure{"speed_ratio", "times", "speed of the draft model alone over the target's alone"},
    Figure{"break_even", "share", "acceptance per guess at which this draft length starts to pay"},
    Figure{"books", "share", "decode time that the parts of the rounds do not account for"},
    // Of the bursts of guesses that were answered, and of their rounds.
    Figure{"bursts", "bursts", "bursts of guesses that were asked for"},
    Figure{"bursts_failed", "bursts", "bursts that nobody answered"},
    Figure{"burst_draft_s", "s", "the drafter's own time for a burst"},
    Figure{"burst_queue_s", "s", "a burst's request waited at the server"},
    Figure{"burst_wire_s", "s", "round trip and queue of a burst that was not there in time"},
    Figure{"burst_sent_bytes", "bytes", "sent for a burst"},
    Figure{"burst_received_bytes", "bytes", "received for a burst"},
    Figure{"burst_overhead_s", "s", "what a round waited for its burst, less the drafter's own time; median"},
    Figure{"burst_hidden", "share", "bursts that a round waited for less than the drafter's own time"},
    Figure{"burst_in_time", "share", "bursts that were there before they were asked for"},
    Figure{"burst_plain_s", "s", "a token of the target alone, beside those rounds"},
    Figure{"burst_tokens", "tokens", "that such a round gives"},
    Figure{"burst_verify_s", "s", "all of such a round but the wait for its burst"},
    Figure{"burst_round_s", "s", "such a round"},
    // The machine.
    Figure{"probe_read_bytes_per_s", "bytes/s", "read bandwidth, median of the probes"},
    Figure{"probe_read_drift", "share", "largest less smallest probe of the read bandwidth, over the median"},
    Figure{"peak_int8_ops", "op/s", "int8 multiply-adds in registers, largest probe"},
    Figure{"peak_f32_flops", "op/s", "float multiply-adds in registers, largest probe"},
    Figure{"peak_bf16_flops", "op/s", "bf16 multiply-adds in registers, largest probe"},
};

}  // namespace

std::span<const Figure> Figures() { return kFigures; }

const Figure& FigureOf(std::string_view name) {
  if (name.starts_with(kPlacebo)) name.remove_prefix(kPlacebo.size());
  const auto* row = std::ranges::find(kFigures, name, &Figure::name);
  if (row == kFigures.end())
    Fail(ErrorKind::kInternal, "no figure is named '{}': give it a row in record/figures.cc", name);
  return *row;
}

}  // namespace assay
