# How every target of the project is compiled, and the two shapes that targets have: a library per folder of src/, and
# a test program per library.

add_library(assay_flags INTERFACE)
target_compile_options(assay_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align -Woverloaded-virtual
  # The bits of a result may not depend on where the compiler chooses to fuse: kernels fuse by name.
  -ffp-contract=off)
target_include_directories(assay_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
if(ASSAY_FUZZERS)
  # Every library is instrumented, so that libFuzzer sees which branches of the code under test an input reaches.
  target_compile_options(assay_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(ASSAY_SANITIZE)
  target_compile_options(assay_flags INTERFACE -fsanitize=${ASSAY_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(assay_flags INTERFACE -fsanitize=${ASSAY_SANITIZE})
endif()

# Headers that cost seconds in each file are compiled once. Nothing may lean on that: ./run lint compiles without.
# The first library and the first test program hold them, the others use the same.
set(ASSAY_LIBRARY_HEADERS <fmt/format.h> <algorithm> <filesystem> <functional> <map> <memory> <optional> <string> <vector>)
set(ASSAY_TEST_HEADERS <gmock/gmock.h> <gtest/gtest.h>)
function(assay_precompile name)
  cmake_parse_arguments(ARG "" "FIRST" "HEADERS" ${ARGN})
  if(name STREQUAL ARG_FIRST)
    target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
  else()
    target_precompile_headers(${name} REUSE_FROM ${ARG_FIRST})
  endif()
endfunction()

# What does not compute is compiled without much optimisation: that alone halves the time of a build.
function(assay_light name)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

# assay_library(NAME SOURCES a.cc ... DEPS other ... [OWN_HEADERS]): the library of a folder, linked by its folder's
# name. OWN_HEADERS: the precompiled ones are not for it.
function(assay_library name)
  cmake_parse_arguments(ARG "OWN_HEADERS" "" "SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC assay_flags ${ARG_DEPS})
    if(NOT ARG_OWN_HEADERS)
      assay_precompile(${name} FIRST base HEADERS ${ASSAY_LIBRARY_HEADERS})
    endif()
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE assay_flags ${ARG_DEPS})
  endif()
endfunction()

# assay_test(NAME SOURCES a_test.cc ... DEPS lib ... [UNIT] [NIGHTLY]): a GoogleTest program. Tests find committed data below
# ASSAY_SOURCE_DIR. The program is one ctest; its cases are counted from the XML that it writes (tools/test_summary.py).
# It is labelled "unit" below src/ or when UNIT says so, and then also run under the sanitizers, which build the target
# unit_tests alone; elsewhere it is labelled "integration". NIGHTLY: its cases named DISABLED_*, which take hours, are a ctest of their
# own, NAME_nightly, which runs in the configuration "nightly" alone (`./run nightly`).
add_custom_target(unit_tests)
function(assay_test name)
  if(NOT ASSAY_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "UNIT;NIGHTLY" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE assay_flags base ${ARG_DEPS} GTest::gtest_main GTest::gmock)
  assay_light(${name})
  assay_precompile(${name} FIRST base_test HEADERS ${ASSAY_TEST_HEADERS})
  target_compile_definitions(${name} PRIVATE ASSAY_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1 --gtest_output=xml:${CMAKE_BINARY_DIR}/test-results/${name}.xml)
  if(ASSAY_SANITIZE)
    # Simulations and sweeps over all floats: minutes of arithmetic, in memory that shorter tests touch as well.
    set(sweeps *CoverageTest.* DraftLength.NoText* DraftLength.AfterThirty* EveryInstructionSetAndThreadCount.*)
    # Debian's gRPC is not instrumented: ThreadSanitizer does not see how it orders what its threads do.
    if(ASSAY_SANITIZE MATCHES "thread")
      list(APPEND sweeps DraftServerTest.* TlsTest.*)
    endif()
    list(JOIN sweeps ":" sweeps)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "GTEST_FILTER=-${sweeps}")
  endif()
  string(FIND "${CMAKE_CURRENT_SOURCE_DIR}/" "${CMAKE_SOURCE_DIR}/src/" below_src)
  if(ARG_UNIT OR below_src EQUAL 0)
    set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 900)
    add_dependencies(unit_tests ${name})
  else()
    set_tests_properties(${name} PROPERTIES LABELS integration TIMEOUT 900)
  endif()
  if(ARG_NIGHTLY)
    add_test(NAME ${name}_nightly CONFIGURATIONS nightly
      COMMAND ${name} --gtest_brief=1 --gtest_also_run_disabled_tests --gtest_filter=*.DISABLED_*
        --gtest_output=xml:${CMAKE_BINARY_DIR}/test-results/${name}_nightly.xml)
    set_tests_properties(${name}_nightly PROPERTIES LABELS nightly TIMEOUT 86400)
  endif()
endfunction()
