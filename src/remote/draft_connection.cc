#include "remote/draft_connection.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "remote/grpc_setup.h"

namespace assay {
namespace {

constexpr int64_t kFrameBytes = 5;       // of gRPC, before each message
constexpr int kLargestAnswer = 1 << 20;  // bytes
constexpr size_t kMostAnswers = 1024;    // that nobody has taken

std::shared_ptr<grpc::Channel> MakeChannel(const DraftConnectionOptions& options) {
  SetUpGrpc();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kLargestAnswer);
  // Each connection is its own, without the memory of those that failed before.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (options.address.tls) {
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = options.tls_ca;
    credentials = grpc::SslCredentials(tls);
  }
  return grpc::CreateCustomChannel(options.address.HostPort(), credentials, arguments);
}

}  // namespace

DraftConnection::DraftConnection(const DraftConnectionOptions& options)
    : channel_(MakeChannel(options)), stub_(wire::Draft::NewStub(channel_)) {
  if (!options.token.empty()) context_.AddMetadata("authorization", "Bearer " + options.token);
  outgoing_.push_back(Write(options.hello));
  stream_ = stub_->PrepareAsyncSession(&context_, &queue_);
  stream_->StartCall(&tags_[kStarted]);
}

DraftConnection::~DraftConnection() {
  context_.TryCancel();
  AskWhy();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

bool DraftConnection::Poll(Clock::time_point deadline) {
  if (ended_) return false;
  void* tag = nullptr;
  bool ok = false;
  if (queue_.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) return false;
  Handle(*static_cast<Event*>(tag), ok);
  return true;
}

void DraftConnection::PollAll() {
  while (Poll(Clock::time_point())) {
  }
}

void DraftConnection::Handle(Event event, bool ok) {
  if (event == kFinished) {
    ended_ = true;
    return;
  }
  if (asked_why_) return;
  if (!ok) return AskWhy();
  switch (event) {
    case kStarted:
      stream_->Read(&incoming_, &tags_[kRead]);
      sent_bytes_ += static_cast<int64_t>(outgoing_.front().ByteSizeLong()) + kFrameBytes;
      stream_->Write(outgoing_.front(), &tags_[kWrote]);
      break;
    case kRead:
      Receive();
      if (!ended_) stream_->Read(&incoming_, &tags_[kRead]);
      break;
    case kWrote:
      outgoing_.pop_front();
      if (!outgoing_.empty()) stream_->Write(outgoing_.front(), &tags_[kWrote]);
      break;
    case kFinished:
      break;
  }
}

void DraftConnection::AskWhy() {
  if (!std::exchange(asked_why_, true)) stream_->Finish(&status_, &tags_[kFinished]);
}

// What the server sent makes no sense: nothing more is heard from it.
void DraftConnection::EndWith(const grpc::Status& status) {
  context_.TryCancel();
  ended_ = true;
  status_ = status;
}

void DraftConnection::Receive() {
  try {
    if (!welcome_) {
      if (!incoming_.has_welcome()) Fail(ErrorKind::kUsage, "the server did not begin with a welcome");
      welcome_ = Read(incoming_.welcome());
    } else {
      if (!incoming_.has_answer()) Fail(ErrorKind::kUsage, "the server sent something else than an answer");
      if (answers_.size() == kMostAnswers) Fail(ErrorKind::kUsage, "the server sends without being asked");
      answers_.push_back(Read(incoming_.answer()));
      answers_.back().bytes = static_cast<int64_t>(incoming_.ByteSizeLong()) + kFrameBytes;
    }
  } catch (const Error& error) {
    EndWith({grpc::StatusCode::INTERNAL, error.what()});
  }
}

void DraftConnection::Send(const BurstRequest& request) {
  if (ended_ || asked_why_) return;
  outgoing_.push_back(Write(request));
  sent_bytes_ += static_cast<int64_t>(outgoing_.back().ByteSizeLong()) + kFrameBytes;
  if (outgoing_.size() == 1) stream_->Write(outgoing_.front(), &tags_[kWrote]);
}

std::optional<BurstAnswer> DraftConnection::TakeAnswer() {
  if (answers_.empty()) return std::nullopt;
  std::optional<BurstAnswer> answer = std::move(answers_.front());
  answers_.pop_front();
  return answer;
}

}  // namespace assay
