#include "remote/remote_drafter.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/one_line.h"
#include "base/version.h"
#include "remote/draft_connection.h"
#include "remote/hashed_text.h"

namespace assay {
namespace {

using Clock = DraftConnection::Clock;

constexpr double kReadingSeconds = 0.01;  // a token, that a server is granted
constexpr double kFirstPause = 0.1;       // seconds before connecting again
constexpr double kLongestPause = 10.0;
constexpr double kMeetingSeconds = 0.5;  // for connecting again before a text
constexpr size_t kMostPushed = 64;

Clock::duration Span(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}
double Since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

ErrorKind KindOf(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::INVALID_ARGUMENT:
      return ErrorKind::kUsage;
    case grpc::StatusCode::UNIMPLEMENTED:
      return ErrorKind::kUnsupported;
    default:
      return ErrorKind::kIo;
  }
}

// What a status says, in our words where gRPC's are of its insides.
std::string Reason(const grpc::Status& status) {
  std::string text = OneLine(status.error_message());
  const auto has = [&](std::string_view part) { return text.find(part) != std::string::npos; };
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return "it ended the session";
    case grpc::StatusCode::UNAUTHENTICATED:
      return text + "; give the one that it was started with (--draft-token-file)";
    case grpc::StatusCode::UNIMPLEMENTED:
      // Without a text of ours it is another kind of server.
      return has("version") ? text : "what answers there is no draft server";
    case grpc::StatusCode::UNAVAILABLE:
      if (has("certificate verify failed") || has("not in peer certificate")) {
        return "its certificate does not match; give the one that signed it (--draft-ca), and the name that it is for";
      }
      if (has("Ssl handshake failed") || has("WRONG_VERSION_NUMBER")) return "it does not speak TLS";
      if (has("HTTP/2")) return "what answers there is no draft server";
      if (has("failed to connect") || has("DNS resolution")) {
        // The last part is the system's reason.
        return fmt::format("it cannot be reached ({}); see that it runs, and that the address is right",
                           text.substr(text.rfind(": ") == std::string::npos ? 0 : text.rfind(": ") + 2));
      }
      return text;
    default:
      return text.empty() ? fmt::format("status {}", static_cast<int>(status.error_code())) : text;
  }
}

class GrpcDrafter : public RemoteDrafter {
 public:
  explicit GrpcDrafter(const RemoteDrafterOptions& options) : options_(options) {
    const DraftAddress address = ParseDraftUrl(options.url);
    if (!address.tls && !address.IsLoopback()) {
      Fail(ErrorKind::kUsage,
           "{}: beyond this machine texts and tokens do not go in the clear; write grpcs://, and start the server with "
           "--tls-cert and --tls-key",
           options.url);
    }
    connection_options_ = {.address = address,
                           .token = options.token,
                           .tls_ca = options.tls_ca,
                           .hello = {.protocol = kDraftProtocol,
                                     .client = fmt::format("assay {}", Version()),
                                     .tokenizer_digest = options.tokenizer_digest,
                                     .model_digest = options.model_digest,
                                     .vocab = options.vocab,
                                     .context = options.context,
                                     .max_draft = options.max_draft,
                                     .min_probability = options.min_probability,
                                     .ahead = options.ahead}};
    ConnectFirst();
  }

  std::string description() const override { return fmt::format("model {} at {}", server_.model_name, options_.url); }
  const DraftWelcome& server() const override { return server_; }
  std::shared_ptr<const DrafterIdentity> identity() const override { return who_; }

  void Prepare(std::span<const Token> prompt) override;
  void Begin(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) override;
  Draft Take() override;

  std::optional<int> full_at() const override { return full_at_; }
  std::optional<std::string> failure() const override { return failure_; }

 private:
  // How far the server is with the text.
  enum class Reading {
    kDone,
    kFirst,  // of a new text: the first burst waits for it
    kAgain,  // after a failure: rounds go on without guesses until it is done
  };

  void ConnectFirst();
  void Adopt(const DraftWelcome& welcome);
  bool Connected();
  void Drop(std::string why);
  void Follow(std::span<const Token> text);
  void ReadText(Reading reading);
  BurstRequest RequestFor(int count);
  void Drain();
  void Sort(BurstAnswer answer);
  bool TryPushed();
  void ForgetPushed();
  bool Usable(const BurstAnswer& answer) const;
  double Granted() const;
  double WireSeconds(const BurstAnswer& answer, bool in_time);
  Draft Failed();
  Draft DraftOf(BurstAnswer answer, bool in_time);

  RemoteDrafterOptions options_;
  DraftConnectionOptions connection_options_;
  DraftWelcome server_;
  std::shared_ptr<const DrafterIdentity> who_;
  std::unique_ptr<DraftConnection> connection_;
  bool welcomed_ = false;  // by this connection
  bool hopeless_ = false;  // another model answers now
  Clock::time_point retry_at_ = Clock::time_point::min();
  double pause_ = kFirstPause;

  HashedText text_;   // the caller's
  size_t known_ = 0;  // how many of its tokens the server was sent
  std::optional<SeededSampling> sampling_;
  bool sampling_sent_ = false;
  Reading reading_ = Reading::kDone;
  uint32_t reading_id_ = 0;
  size_t to_read_ = 0;  // tokens, of the request that is waited for
  uint32_t last_id_ = 0;

  // The burst that was begun.
  bool begun_ = false;
  int count_ = 0;
  uint32_t burst_id_ = 0;
  bool pushed_taken_ = false;
  Clock::time_point asked_at_;
  std::optional<BurstAnswer> answer_;
  std::map<uint64_t, BurstAnswer> pushed_;  // by the text that they follow

  std::optional<double> wire_;  // the latest that was seen from beginning to end
  int64_t sent_before_ = 0;     // bytes, at the burst before
  int64_t other_bytes_ = 0;     // that came since, of answers that were not taken
  std::optional<int> full_at_;
  std::optional<std::string> failure_;
};

void GrpcDrafter::ConnectFirst() {
  connection_ = std::make_unique<DraftConnection>(connection_options_);
  const Clock::time_point deadline = Clock::now() + Span(options_.connect_seconds);
  while (!connection_->welcome() && !connection_->ended()) {
    if (!connection_->Poll(deadline)) {
      Fail(ErrorKind::kIo, "the draft server at {} did not answer within {:g} s; see that it runs and is reachable",
           options_.url, options_.connect_seconds);
    }
  }
  if (!connection_->welcome()) {
    Fail(KindOf(connection_->status()), "the draft server at {}: {}", options_.url, Reason(connection_->status()));
  }
  const DraftWelcome& welcome = *connection_->welcome();
  if (welcome.protocol != kDraftProtocol) {
    Fail(ErrorKind::kUnsupported,
         "the draft server at {} speaks version {} of the protocol, this program {}; take the "
         "same release on both machines",
         options_.url, welcome.protocol, kDraftProtocol);
  }
  if (welcome.tokenizer_digest != options_.tokenizer_digest) {
    Fail(ErrorKind::kUsage, "the draft server at {} has another tokenizer than the target; take models of one family",
         options_.url);
  }
  Adopt(welcome);
}

void GrpcDrafter::Adopt(const DraftWelcome& welcome) {
  welcomed_ = true;
  server_ = welcome;
  who_ = std::make_shared<const DrafterIdentity>(DrafterIdentity{.backend = welcome.backend,
                                                                 .device = welcome.device,
                                                                 .machine = welcome.machine,
                                                                 .process = welcome.process,
                                                                 .model_digest = welcome.model_digest,
                                                                 .address = options_.url});
  // From now on no other model may take its place.
  connection_options_.hello.model_digest = welcome.model_digest;
}

// The server has to begin anew: nothing of what it knew counts.
void GrpcDrafter::Drop(std::string why) {
  failure_ = std::move(why);
  connection_.reset();
  welcomed_ = false;
  retry_at_ = Clock::now() + Span(pause_);
  pause_ = std::min(kLongestPause, 2.0 * pause_);
  known_ = 0;
  sampling_sent_ = false;
  reading_ = Reading::kAgain;
  reading_id_ = 0;
  sent_before_ = 0;
  ForgetPushed();
}

// Whether requests can be sent; goes on with connecting where they cannot, without waiting.
bool GrpcDrafter::Connected() {
  if (hopeless_) return false;
  if (connection_ == nullptr) {
    if (Clock::now() < retry_at_) return false;
    connection_ = std::make_unique<DraftConnection>(connection_options_);
  }
  connection_->PollAll();
  if (connection_->ended()) {
    if (!welcomed_ && KindOf(connection_->status()) != ErrorKind::kIo) hopeless_ = true;
    Drop(fmt::format("the draft server at {}: {}", options_.url, Reason(connection_->status())));
    return false;
  }
  if (!connection_->welcome()) return false;
  if (welcomed_) return true;
  if (connection_->welcome()->model_digest != server_.model_digest) {
    hopeless_ = true;
    Drop(fmt::format("the draft server at {}: another model answers now", options_.url));
    return false;
  }
  Adopt(*connection_->welcome());
  return true;
}

void GrpcDrafter::Follow(std::span<const Token> text) {
  const size_t shared = text_.SharedWith(text);
  text_.Truncate(shared);
  text_.Append(text.subspan(shared));
  known_ = std::min(known_, shared);
}

BurstRequest GrpcDrafter::RequestFor(int count) {
  BurstRequest request{
      .id = ++last_id_, .position = static_cast<uint32_t>(known_), .hash = text_.HashAt(known_), .count = count};
  const std::span<const Token> news = text_.tokens().subspan(known_);
  request.tokens.assign(news.begin(), news.end());
  to_read_ = news.size();
  known_ = text_.size();
  if (sampling_ && !sampling_sent_) {
    request.sampling = sampling_;
    sampling_sent_ = true;
  }
  return request;
}

// Has the server read the text as it is now.
void GrpcDrafter::ReadText(Reading reading) {
  const BurstRequest request = RequestFor(0);
  reading_ = reading;
  reading_id_ = request.id;
  connection_->Send(request);
}

void GrpcDrafter::Prepare(std::span<const Token> prompt) {
  begun_ = false;
  full_at_.reset();
  failure_.reset();
  sampling_.reset();
  sampling_sent_ = false;
  ForgetPushed();
  Follow(prompt);
  // No round waits here, so that a connection that was lost may take a moment.
  const Clock::time_point deadline = Clock::now() + Span(kMeetingSeconds);
  while (!Connected()) {
    if (connection_ == nullptr || !connection_->Poll(deadline)) return;
  }
  Drain();
  if (connection_ != nullptr) ReadText(Reading::kFirst);
}

void GrpcDrafter::Begin(std::span<const Token> text, int count, const SamplingOptions& sampling, Rng& rng) {
  begun_ = true;
  count_ = count;
  burst_id_ = 0;
  pushed_taken_ = false;
  answer_.reset();
  Follow(text);
  if (!sampling_) sampling_ = {sampling, sampling.temperature > 0.0F ? rng.Next() : 0};
  asked_at_ = Clock::now();
  if (!Connected()) return;
  Drain();
  if (connection_ == nullptr) return;
  if (reading_ == Reading::kAgain) {
    if (reading_id_ == 0) ReadText(Reading::kAgain);
    return;
  }
  if (TryPushed()) return;
  const size_t reading = reading_ == Reading::kFirst ? to_read_ : 0;
  const BurstRequest request = RequestFor(count);
  to_read_ += reading;
  burst_id_ = request.id;
  connection_->Send(request);
}

// Whether the answer was sent before it was asked for; the server is told that it was.
bool GrpcDrafter::TryPushed() {
  const auto found = pushed_.find(text_.hash());
  const bool enough = found != pushed_.end() && found->second.tokens.size() >= static_cast<size_t>(count_);
  if (enough) {
    answer_ = std::move(found->second);
    pushed_.erase(found);
    pushed_taken_ = true;
    BurstRequest request = RequestFor(count_);
    request.answered = true;
    connection_->Send(request);
  }
  ForgetPushed();
  return enough;
}

void GrpcDrafter::ForgetPushed() {
  for (const auto& entry : pushed_) other_bytes_ += entry.second.bytes;
  pushed_.clear();
}

// Takes in what came.
void GrpcDrafter::Drain() {
  while (connection_ != nullptr) {
    std::optional<BurstAnswer> answer = connection_->TakeAnswer();
    if (!answer) return;
    Sort(std::move(*answer));
  }
}

void GrpcDrafter::Sort(BurstAnswer answer) {
  if (!Usable(answer)) {
    Drop(fmt::format("the draft server at {} guesses tokens that the target does not have", options_.url));
    return;
  }
  if (answer.resync) {
    known_ = 0;
    sampling_sent_ = false;
    reading_ = Reading::kAgain;
    reading_id_ = 0;
  } else if (answer.id == 0) {
    if (pushed_.size() == kMostPushed) ForgetPushed();
    BurstAnswer& place = pushed_[answer.key];
    other_bytes_ += place.bytes;
    place = std::move(answer);
    return;
  } else if (answer.id == reading_id_) {
    reading_ = Reading::kDone;
    pause_ = kFirstPause;
  } else if (answer.id == burst_id_ && answer.key == text_.hash()) {
    answer_ = std::move(answer);
    return;
  }
  other_bytes_ += answer.bytes;
}

// The target would not take tokens that it does not have.
bool GrpcDrafter::Usable(const BurstAnswer& answer) const {
  const auto known = [&](Token token) { return token < options_.vocab; };
  return std::all_of(answer.tokens.begin(), answer.tokens.end(), known);
}

double GrpcDrafter::Granted() const {
  return options_.answer_seconds + kReadingSeconds * static_cast<double>(to_read_);
}

// Of an answer that came while nobody looked it is only known that it took no longer; it is taken to be as usual then.
double GrpcDrafter::WireSeconds(const BurstAnswer& answer, bool in_time) {
  if (pushed_taken_) return 0.0;
  const double most = std::max(0.0, Since(asked_at_) - answer.server_seconds);
  if (in_time) return std::min(most, wire_.value_or(most));
  wire_ = most;
  return most;
}

Draft GrpcDrafter::Failed() {
  return {.tokens = {}, .distributions = {}, .evidence = {.who = nullptr, .failed = true}};
}

Draft GrpcDrafter::Take() {
  if (!std::exchange(begun_, false)) return Failed();
  if (answer_) return DraftOf(std::move(*answer_), true);
  if (connection_ == nullptr || burst_id_ == 0) {
    if (!failure_) failure_ = fmt::format("the draft server at {} has not read the text again yet", options_.url);
    return Failed();
  }
  const Clock::time_point deadline = asked_at_ + Span(Granted());
  connection_->PollAll();
  Drain();
  if (connection_ == nullptr) return Failed();
  const bool in_time = answer_.has_value();
  while (!answer_) {
    if (reading_ == Reading::kAgain) {
      failure_ = fmt::format("the draft server at {} lost the text", options_.url);
      return Failed();
    }
    if (connection_->ended()) {
      Drop(fmt::format("the draft server at {}: {}", options_.url, Reason(connection_->status())));
      return Failed();
    }
    if (!connection_->Poll(deadline) && !connection_->ended()) {
      Drop(fmt::format("the draft server at {} did not answer within {:.3g} s", options_.url, Granted()));
      return Failed();
    }
    Drain();
    if (connection_ == nullptr) return Failed();
  }
  return DraftOf(std::move(*answer_), in_time);
}

Draft GrpcDrafter::DraftOf(BurstAnswer answer, bool in_time) {
  full_at_ = answer.full_at > 0 ? std::optional(answer.full_at) : std::nullopt;
  const size_t used = std::min(answer.tokens.size(), static_cast<size_t>(count_));
  // Without the last guesses it is the answer to a smaller count.
  const size_t rows = std::min(used < answer.tokens.size() ? used : SIZE_MAX, answer.logit_hashes.size());
  Draft draft;
  draft.tokens.assign(answer.tokens.begin(), answer.tokens.begin() + static_cast<ptrdiff_t>(used));
  for (size_t i = 0; i < std::min(used, answer.proposals.size()); ++i) {
    draft.distributions.push_back(answer.proposals[i].distribution());
  }
  const int64_t sent = connection_->sent_bytes();
  draft.evidence = {.who = who_,
                    .logit_hash = rows == 0 ? 0 : answer.logit_hashes[rows - 1],
                    .compute_seconds = answer.compute_seconds,
                    .queue_seconds = answer.queue_seconds,
                    .wire_seconds = WireSeconds(answer, in_time),
                    .sent_bytes = sent - std::exchange(sent_before_, sent),
                    .received_bytes = answer.bytes + std::exchange(other_bytes_, 0),
                    .in_time = in_time,
                    .failed = false};
  return draft;
}

}  // namespace

std::unique_ptr<RemoteDrafter> MakeRemoteDrafter(const RemoteDrafterOptions& options) {
  return std::make_unique<GrpcDrafter>(options);
}

}  // namespace assay
