#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <string_view>

#include "backend/backend.h"

namespace assay {

inline std::string_view CacheName(CacheType type) { return type == CacheType::kF16 ? "f16" : "f32"; }

// --cache f16|f32. `type` must live as long as the app.
inline void AddCacheOption(CLI::App& app, CacheType& type) {
  const std::map<std::string, CacheType> types = {{"f16", CacheType::kF16}, {"f32", CacheType::kF32}};
  app.add_option_function<std::string>(
         "--cache", [&type, types](const std::string& name) { type = types.at(name); },
         "type of the keys and values in the cache: f16 or f32")
      ->check(CLI::IsMember({"f16", "f32"}))
      ->default_str(std::string(CacheName(type)))
      ->type_name("TYPE");
}

}  // namespace assay
