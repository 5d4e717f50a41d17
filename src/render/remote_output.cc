#include "render/remote_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "judge/burst_figures.h"
#include "render/measure_json.h"

namespace assay {
namespace {

double ValueOf(const RunRecord& run, std::string_view name) {
  const Metric* metric = FindMetric(run, name);
  return metric != nullptr ? metric->value : std::nan("");
}

// The same cell of a pair that drafts at home with a model of the same digest.
struct HomeCell {
  const PairResult* pair = nullptr;
  const RunRecord* run = nullptr;

  explicit operator bool() const { return run != nullptr; }
  // The remote cell's rate over this one's.
  double Share(const RunRecord& remote) const { return ValueOf(remote, "tok_per_s") / ValueOf(*run, "tok_per_s"); }
};

HomeCell AtHome(const SpeculationStudy& study, const RunRecord& remote) {
  for (const PairResult& pair : study.pairs) {
    if (pair.subject.remote.has_value() || !pair.subject.draft.has_value() || !remote.base.has_value() ||
        pair.subject.draft->digest != remote.base->digest)
      continue;
    for (const RunRecord& run : pair.runs) {
      if (SettingOf(run, "k") == SettingOf(remote, "k") &&
          SettingOf(run, "prompt_set") == SettingOf(remote, "prompt_set") && RemoteRoundOf(run).has_value())
        return {&pair, &run};
    }
  }
  return {};
}

std::string WindowText(const std::optional<double>& window) {
  if (!window.has_value()) return "for no round trip";
  if (std::isinf(*window)) return "for any round trip";
  return fmt::format("for round trips up to {:.2f} ms", 1e3 * *window);
}

// Of a draft that pays for any round trip there is no longest one, nor of one that never does.
void AddWindow(Json& json, const std::optional<double>& window) {
  const bool always = window.has_value() && std::isinf(*window);
  json["pays"] = !window.has_value() ? "never" : always ? "always" : "within";
  json["longest_wire_s"] = window.has_value() && !always ? Json(*window) : Json();
}

std::string CellText(const SpeculationStudy& study, const RunRecord& run) {
  const std::string name = fmt::format("  k={}, {}: ", SettingOf(run, "k"), SettingOf(run, "prompt_set"));
  const std::optional<RemoteRound> round = RemoteRoundOf(run);
  if (!round.has_value()) return name + "no burst was answered\n";
  std::string text =
      name + fmt::format(
                 "a burst took the drafter {:.2f} ms, the wire {:.2f} ms ({:.2f} ms at the "
                 "server), {:.0f} + {:.0f} bytes; {:.0f}% were there in time\n",
                 1e3 * round->draft, 1e3 * round->wire, 1e3 * ValueOf(run, "burst_queue_s"),
                 ValueOf(run, "burst_sent_bytes"), ValueOf(run, "burst_received_bytes"), 100.0 * round->in_time);
  text += fmt::format(
      "    waited beyond the drafter's own time: {:+.2f} ms (median), less than none for {:.0f}%; {:.0f} of {:.0f} "
      "bursts "
      "failed\n",
      1e3 * ValueOf(run, "burst_overhead_s"), 100.0 * ValueOf(run, "burst_hidden"), ValueOf(run, "bursts_failed"),
      ValueOf(run, "bursts"));
  text += fmt::format("    a round should take {:.2f} ms and took {:.2f}; it pays {}\n", 1e3 * round->Seconds(),
                      1e3 * ValueOf(run, "burst_round_s"), WindowText(round->WindowAlone()));
  if (const HomeCell home = AtHome(study, run)) {
    const double draft = ValueOf(*home.run, "burst_draft_s");
    text += fmt::format("    {:+.1f}% of the rate with {} at home ({:.2f} ms a burst), which it beats {}\n",
                        100.0 * (home.Share(run) - 1.0), OneLine(home.pair->subject.draft_name), 1e3 * draft,
                        WindowText(round->WindowAtHome(draft)));
  }
  return text;
}

}  // namespace

std::string RemoteText(const SpeculationStudy& study) {
  std::string text;
  for (const PairResult& pair : study.pairs) {
    if (!pair.subject.remote.has_value()) continue;
    const DrafterRecord& who = pair.subject.remote->drafter;
    const bool at_home = who.machine == pair.subject.remote->home_machine;
    text += OneLine(fmt::format("Drafted elsewhere: {}, digest {}, on {} ({}), machine {}{}", pair.subject.draft->name,
                                who.model_digest, who.device, who.backend, who.machine,
                                at_home ? ", the target's own" : ""));
    text += "\n";
    for (const RunRecord& run : pair.runs) text += CellText(study, run);
    text += "\n";
  }
  return text;
}

Json BurstJson(const RunRecord& run) {
  const std::optional<RemoteRound> round = RemoteRoundOf(run);
  if (!round.has_value()) return {};
  Json json = {{"bursts", FigureJson(run, "bursts")}, {"failed", FigureJson(run, "bursts_failed")}};
  for (const char* name : {"draft_s", "queue_s", "wire_s", "sent_bytes", "received_bytes", "overhead_s", "hidden",
                           "in_time", "tokens", "plain_s", "verify_s", "round_s"}) {
    json[name] = FigureJson(run, fmt::format("burst_{}", name));
  }
  json["predicted_round_s"] = round->Seconds();
  return json;
}

Json RemoteJson(const SpeculationStudy& study, const PairResult& pair, const RunRecord& run) {
  if (!pair.subject.remote.has_value()) return {};
  const RemoteClaim& claim = *pair.subject.remote;
  Json json = {{"address", claim.drafter.address},
               {"backend", claim.drafter.backend},
               {"device", claim.drafter.device},
               {"machine", claim.drafter.machine},
               {"model_digest", claim.drafter.model_digest},
               {"same_machine", claim.drafter.machine == claim.home_machine},
               {"predicted_speedup", nullptr},
               {"pays", nullptr},
               {"longest_wire_s", nullptr},
               {"at_home", nullptr}};
  const std::optional<RemoteRound> round = RemoteRoundOf(run);
  if (!round.has_value()) return json;
  json["predicted_speedup"] = round->Speedup();
  AddWindow(json, round->WindowAlone());
  if (const HomeCell home = AtHome(study, run)) {
    const double draft = ValueOf(*home.run, "burst_draft_s");
    Json other = {{"draft", home.pair->subject.draft_name}, {"draft_s", draft}, {"rate_ratio", home.Share(run)}};
    AddWindow(other, round->WindowAtHome(draft));
    json["at_home"] = std::move(other);
  }
  return json;
}

}  // namespace assay
