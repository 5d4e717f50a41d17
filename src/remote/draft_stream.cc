#include "remote/draft_stream.h"

#include <utility>

#include "base/error.h"

namespace assay {
namespace {

// Answers that a client has not read; an honest one has asked for one burst and got a few that it did not ask for.
constexpr size_t kMostUnread = 256;

}  // namespace

std::shared_ptr<DraftStream> DraftStream::Make(DraftStreamHandler& handler, grpc::CallbackServerContext& context) {
  std::shared_ptr<DraftStream> stream(new DraftStream(handler, context));
  stream->self_ = stream;
  return stream;
}

void DraftStream::Listen() {
  const std::scoped_lock lock(mutex_);
  if (ending_) return;
  listening_ = true;
  StartRead(&incoming_);
}

void DraftStream::Send(wire::FromServer message) {
  {
    const std::scoped_lock lock(mutex_);
    if (ending_) return;
    if (outgoing_.size() < kMostUnread) {
      outgoing_.push_back(std::move(message));
      if (outgoing_.size() == 1) StartWrite(&outgoing_.front());
      return;
    }
  }
  EndNow({grpc::StatusCode::RESOURCE_EXHAUSTED, "the client does not read its answers"});
}

void DraftStream::End(const grpc::Status& status) {
  const std::scoped_lock lock(mutex_);
  if (!std::exchange(ending_, true)) status_ = status;
  WriteNext();
}

void DraftStream::EndNow(const grpc::Status& status) {
  End(status);
  const std::scoped_lock lock(mutex_);
  if (!finished_) context_.TryCancel();
}

// Writes what is left, and the status behind it.
void DraftStream::WriteNext() {
  if (!outgoing_.empty() || !ending_ || std::exchange(finished_, true)) return;
  Finish(status_);
}

DraftStream::Clock::time_point DraftStream::heard() const {
  const std::scoped_lock lock(mutex_);
  return heard_;
}

bool DraftStream::listening() const {
  const std::scoped_lock lock(mutex_);
  return listening_;
}

bool DraftStream::greeted() const {
  const std::scoped_lock lock(mutex_);
  return greeted_;
}

void DraftStream::OnReadDone(bool ok) {
  if (!ok) return End(grpc::Status::OK);  // the client has closed its side, or is gone
  {
    const std::scoped_lock lock(mutex_);
    heard_ = Clock::now();
    listening_ = false;
  }
  try {
    Handle();
  } catch (const Error& error) {
    End({grpc::StatusCode::INVALID_ARGUMENT, error.what()});
  } catch (const std::exception& error) {
    End({grpc::StatusCode::INTERNAL, error.what()});
  }
}

void DraftStream::Handle() {
  const bool first = !greeted_;
  {
    const std::scoped_lock lock(mutex_);
    greeted_ = true;
  }
  if (first != incoming_.has_hello() || (!first && !incoming_.has_burst())) {
    Fail(ErrorKind::kUsage, "a draft's stream begins with Hello, and goes on with bursts");
  }
  if (first) {
    handler_.OnHello(shared_from_this(), Read(incoming_.hello()));
  } else {
    handler_.OnBurst(shared_from_this(), Read(incoming_.burst()));
  }
}

void DraftStream::OnWriteDone(bool ok) {
  const std::scoped_lock lock(mutex_);
  outgoing_.pop_front();
  if (!ok) {
    ending_ = true;
    outgoing_.clear();
  }
  if (!outgoing_.empty()) return StartWrite(&outgoing_.front());
  WriteNext();
}

void DraftStream::OnCancel() { End(grpc::Status::CANCELLED); }

void DraftStream::OnDone() {
  handler_.OnGone(shared_from_this());
  self_.reset();
}

}  // namespace assay
