#pragma once

#include <filesystem>
#include <span>

#include "store/sqlite.h"

namespace assay {

// The SQL that takes an empty database to today's schema, one script for each version ("PRAGMA user_version"). A script
// that was released is never edited: a change is one more script.
std::span<const char* const> Migrations();

// Brings the database to the version that `migrations` ends in, in one transaction. Throws kUnsupported for a database
// of a newer version, kBadFile for one of another program; both are left as they are. `path` is for messages.
void Migrate(Database& database, std::span<const char* const> migrations, const std::filesystem::path& path);

}  // namespace assay
