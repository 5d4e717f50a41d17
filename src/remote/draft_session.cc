#include "remote/draft_session.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "decode/checked_tops.h"
#include "decode/drafter.h"
#include "decode/top_hash.h"

namespace assay {
namespace {

constexpr int kMostRollback = 64;  // of a session
// Continuations that are drafted ahead, and pushed, behind one answer.
constexpr size_t kMostBranches = 4;
// What is less likely than this is not worth a forward pass.
constexpr double kLeastChance = 0.05;
constexpr size_t kLongestText = size_t{1} << 22;

float Largest(std::span<const float> values) {
  constexpr size_t kLanes = 16;
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, values.front());
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = values[i + lane] > lanes[lane] ? values[i + lane] : lanes[lane];
  }
  for (; i < values.size(); ++i) lanes[0] = std::max(lanes[0], values[i]);
  return *std::max_element(lanes, lanes + kLanes);
}

// The likeliest token beside one; of equals the lowest. At least two tokens.
Token LikeliestBeside(std::span<const float> logits, Token token) {
  const auto at = static_cast<size_t>(token);
  const std::span<const float> before = logits.first(at);
  const std::span<const float> behind = logits.subspan(at + 1);
  const bool in_front = behind.empty() || (!before.empty() && Largest(before) >= Largest(behind));
  const std::span<const float> part = in_front ? before : behind;
  const auto place = std::find(part.begin(), part.end(), Largest(part)) - part.begin();
  return static_cast<Token>(place + (in_front ? 0 : token + 1));
}

int RollbackOf(const DraftSessionOptions& options) {
  const int burst = options.max_draft + 1;
  return options.ahead ? std::min(kMostRollback, 2 * burst) : burst;
}

void CheckOptions(const DraftSessionOptions& options) {
  if (options.max_draft < 1 || options.max_draft >= kInvariantTokens) {
    Fail(ErrorKind::kUsage, "a draft of {} tokens is not possible; there are 1 to {}", options.max_draft,
         kInvariantTokens - 1);
  }
  if (!(options.min_probability >= 0.0 && options.min_probability <= 1.0)) {
    Fail(ErrorKind::kUsage, "a draft cannot end below a probability of {}; it lies between 0 and 1",
         options.min_probability);
  }
}

}  // namespace

SessionOptions EngineOptions(const DraftSessionOptions& options) {
  CheckOptions(options);
  return {.context = options.context, .cache = options.cache, .rollback = RollbackOf(options)};
}

DraftSession::DraftSession(Engine& engine, const DraftSessionOptions& options)
    : options_(options),
      vocab_(engine.model().spec.vocab),
      shared_(options.target_vocab > 0 ? std::min(options.target_vocab, vocab_) : vocab_),
      whose_("the draft model " + engine.model().spec.name + "'s"),
      rollback_(RollbackOf(options)),
      session_(engine, EngineOptions(options)) {}

void DraftSession::Check(const BurstRequest& request) const {
  if (request.count < 0 || request.count > options_.max_draft) {
    Fail(ErrorKind::kUsage, "{} guesses were asked for, this session gives at most {}", request.count,
         options_.max_draft);
  }
  for (const Token token : request.tokens) {
    if (token < 0 || token >= std::max(options_.target_vocab, vocab_)) {
      Fail(ErrorKind::kUsage, "token {} is not in the vocabulary of {}", token, vocab_);
    }
  }
  const size_t size = request.position + request.tokens.size();
  if (size == 0 || size > kLongestText) {
    Fail(ErrorKind::kUsage, "a text of {} tokens cannot be drafted for; it has 1 to {}", size, kLongestText);
  }
  if (request.sampling) CheckSampling(request.sampling->options);
}

BurstAnswer DraftSession::Apply(const BurstRequest& request) {
  Check(request);
  if (request.position > text_.size() || text_.HashAt(request.position) != request.hash) {
    return {.id = request.id, .resync = true};
  }
  Continue(request);
  pushed_.clear();
  if (text_.size() > static_cast<size_t>(session_.context())) {
    branches_.clear();
    current_ = {};
    bonus_known_ = true;
    return {.id = request.id, .key = text_.hash(), .full_at = session_.context()};
  }
  count_ = request.count;
  current_ = TakeBranch();
  branches_.clear();
  const bool ahead = count_ > 0 && (current_.ended || current_.tokens.size() >= static_cast<size_t>(count_));
  if (count_ == 0) Read();
  while (!current_.ended && current_.tokens.size() < static_cast<size_t>(count_)) Extend(current_);
  PlanAhead();
  BurstAnswer answer = AnswerOf(current_);
  answer.id = request.id;
  answer.ahead = ahead;
  return answer;
}

void DraftSession::Continue(const BurstRequest& request) {
  text_.Truncate(request.position);
  text_.Append(request.tokens);
  readable_.resize(request.position);
  const std::vector<Token> news = WithinVocabulary(request.tokens, vocab_);
  readable_.insert(readable_.end(), news.begin(), news.end());
  if (!request.sampling) return;
  sampling_ = *request.sampling;
  current_ = {};
  branches_.clear();
}

// The continuation of the text as it now is, as far as there is one.
DraftSession::Branch DraftSession::TakeBranch() {
  branches_.push_back(std::move(current_));
  for (Branch& branch : branches_) {
    if (branch.key != text_.hash()) continue;
    Branch taken = std::move(branch);
    taken.outcome.clear();
    taken.chance = 1.0;
    const size_t used = std::min(taken.tokens.size(), static_cast<size_t>(count_));
    if (used < taken.tokens.size()) {
      taken.ended = false;
      taken.rows.resize(used);
    }
    taken.tokens.resize(used);
    taken.proposals.resize(std::min(taken.proposals.size(), used));
    taken.doubts.resize(std::min(taken.doubts.size(), used));
    return taken;
  }
  Branch fresh;
  fresh.key = text_.hash();
  return fresh;
}

// Decodes the text but for its last token, which is left for the first guess.
void DraftSession::Read() {
  const std::span<const Token> known = std::span(readable_).first(readable_.size() - 1);
  size_t same = 0;
  const std::span<const Token> held = session_.tokens();
  while (same < std::min(held.size(), known.size()) && held[same] == known[same]) ++same;
  // What is final cannot be undone: another text, or the same from its beginning, is read anew.
  if (same < static_cast<size_t>(settled_)) {
    same = 0;
    settled_ = 0;
  }
  if (same == known.size() && same > 0) return;
  session_.Truncate(static_cast<int>(same));
  session_.Forward(known.subspan(same), Logits::kNone, Undo::kNever);
  settled_ = session_.position();
}

// One guess more, or the end.
void DraftSession::Extend(Branch& branch) {
  Stopwatch watch;
  std::vector<Token> path = branch.outcome;
  path.insert(path.end(), branch.tokens.begin(), branch.tokens.end());
  if (text_.size() + path.size() > static_cast<size_t>(session_.context())) {
    branch.ended = true;
    return;
  }
  const std::span<const float> logits = Decode(path);
  const RowTop top = CheckedTops(session_.Tops(), session_.position(), options_.cache, whose_).front();
  if (top.token >= shared_) {
    branch.ended = true;
    branch.seconds += watch.Seconds();
    return;
  }
  Hash rows = branch.rows.empty() ? Hash() : branch.rows.back();
  AddTop(rows, top, logits);
  branch.rows.push_back(rows);
  Token guess = top.token;
  double top_chance = 0.0;
  Proposal proposal;
  if (sampling_.options.temperature > 0.0F) {
    const Distribution whole = SamplingDistribution(logits.first(static_cast<size_t>(shared_)), top, sampling_.options);
    top_chance = whole.ProbabilityOf(top.token);
    proposal = CutToLikeliest(whole, options_.proposal_size);
    guess = DrawBehind(proposal.distribution(), sampling_.seed, HashOfNext(branch.key, branch.tokens));
  } else if (options_.min_probability > 0.0) {
    top_chance = session_.TopProbability(0);
  }
  if (options_.min_probability > 0.0 && top_chance < options_.min_probability) {
    branch.ended = true;
  } else {
    branch.tokens.push_back(guess);
    if (sampling_.options.temperature > 0.0F) branch.proposals.push_back(std::move(proposal));
    if (options_.ahead) branch.doubts.push_back(DoubtOf(logits, top.token, guess));
  }
  branch.seconds += watch.Seconds();
}

DraftSession::Doubt DraftSession::DoubtOf(std::span<const float> logits, Token top, Token guess) {
  const double best = session_.TopProbability(0);
  const auto chance = [&](Token token) {
    return best * std::exp(static_cast<double>(logits[static_cast<size_t>(token)] - logits[static_cast<size_t>(top)]));
  };
  if (shared_ < 2) return {.chance = 1.0, .other = guess, .other_chance = 0.0};
  const Token other = guess != top ? top : LikeliestBeside(logits.first(static_cast<size_t>(shared_)), top);
  return {.chance = chance(guess), .other = other, .other_chance = chance(other)};
}

// Goes back to what the session shares with the text and what follows it; at least one token is left to decode.
void DraftSession::GoBackTo(std::span<const Token> path) {
  const size_t certain = text_.size();
  const auto wanted = [&](size_t i) { return i < certain ? readable_[i] : path[i - certain]; };
  const std::span<const Token> held = session_.tokens();
  const size_t comparable = std::min(held.size(), certain + path.size() - 1);
  size_t same = 0;
  while (same < comparable && held[same] == wanted(same)) ++same;
  if (same < static_cast<size_t>(settled_)) {
    same = 0;
    settled_ = 0;
  }
  session_.Truncate(static_cast<int>(same));
  // The text is certain. It is made final when what follows would no longer fit what can be undone.
  if (same >= certain && certain + path.size() > static_cast<size_t>(settled_) + static_cast<size_t>(rollback_)) {
    session_.Truncate(static_cast<int>(certain));
    session_.Settle();
    settled_ = static_cast<int>(certain);
  }
}

// The logits behind the text and a path of guesses, [vocab].
std::span<const float> DraftSession::Decode(std::span<const Token> path) {
  GoBackTo(path);
  const size_t certain = text_.size();
  const auto held = static_cast<size_t>(session_.position());
  std::span<const float> logits;
  if (held < certain) {
    std::span<const Token> news = std::span(readable_).subspan(held);
    if (news.size() > kInvariantTokens) {
      session_.Forward(news.first(news.size() - 1), Logits::kNone, Undo::kNever);
      news = news.last(1);
    }
    logits = session_.Forward(news, path.empty() ? Logits::kLast : Logits::kNone, Undo::kNever);
    settled_ = static_cast<int>(certain);
  }
  std::span<const Token> rest = path.subspan(held > certain ? held - certain : 0);
  while (!rest.empty()) {
    const size_t piece = std::min<size_t>(rest.size(), kInvariantTokens);
    logits = session_.Forward(rest.first(piece), piece == rest.size() ? Logits::kLast : Logits::kNone);
    rest = rest.subspan(piece);
  }
  return logits;
}

BurstAnswer DraftSession::AnswerOf(const Branch& branch) const {
  BurstAnswer answer{
      .key = branch.key, .tokens = branch.tokens, .proposals = branch.proposals, .compute_seconds = branch.seconds};
  for (const Hash& row : branch.rows) answer.logit_hashes.push_back(row.value());
  return answer;
}

void DraftSession::AddBranch(std::span<const Token> guesses, Token other, double chance) {
  if (chance < kLeastChance) return;
  Branch branch;
  branch.outcome.assign(guesses.begin(), guesses.end());
  branch.outcome.push_back(other);
  branch.key = HashOfNext(text_.hash(), branch.outcome);
  branch.chance = chance;
  branches_.push_back(std::move(branch));
}

// The outcomes of the burst that was answered: refusals now, all taken once FindBonus() has its token.
void DraftSession::PlanAhead() {
  bonus_known_ = !options_.ahead || count_ == 0;
  if (bonus_known_) return;
  double reached = 1.0;
  for (size_t i = 0; i < current_.doubts.size(); ++i) {
    const Doubt& doubt = current_.doubts[i];
    AddBranch(std::span(current_.tokens).first(i), doubt.other, reached * doubt.other_chance);
    reached *= doubt.chance;
  }
}

void DraftSession::FindBonus() {
  bonus_known_ = true;
  if (text_.size() + current_.tokens.size() > static_cast<size_t>(session_.context())) return;
  const std::span<const float> logits = Decode(current_.tokens);
  const RowTop top = CheckedTops(session_.Tops(), session_.position(), options_.cache, whose_).front();
  if (top.token >= shared_) return;
  const Doubt doubt = DoubtOf(logits, top.token, top.token);
  double reached = 1.0;
  for (const Doubt& before : current_.doubts) reached *= before.chance;
  AddBranch(current_.tokens, doubt.other, reached * doubt.other_chance);
  std::stable_sort(branches_.begin(), branches_.end(),
                   [](const Branch& a, const Branch& b) { return a.chance > b.chance; });
  AddBranch(current_.tokens, top.token, 1.0);  // first, however likely: the order is that of the work
  std::rotate(branches_.begin(), branches_.end() - 1, branches_.end());
  if (branches_.size() > kMostBranches) branches_.resize(kMostBranches);
}

bool DraftSession::Ahead() {
  try {
    if (!bonus_known_) {
      FindBonus();
      return !branches_.empty();
    }
    const auto unfinished = [&](const Branch& branch) {
      return !branch.ended && branch.tokens.size() < static_cast<size_t>(count_);
    };
    const auto next = std::find_if(branches_.begin(), branches_.end(), unfinished);
    if (next == branches_.end()) return false;
    Extend(*next);
    if (unfinished(*next)) return true;
    pushed_.push_back(AnswerOf(*next));
    pushed_.back().ahead = true;
    return std::any_of(next, branches_.end(), unfinished);
  } catch (const Error&) {
    // The request that comes to the same place will say it.
    branches_.clear();
    return false;
  }
}

std::vector<BurstAnswer> DraftSession::TakePushed() { return std::exchange(pushed_, {}); }

}  // namespace assay
