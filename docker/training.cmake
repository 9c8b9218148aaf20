# The release program is compiled by what an earlier build of it did under the benchmark's load: a fifth fewer
# instructions a request. docker/training/ keeps those notes, an archive for each compiler; `make training` makes them
# anew. Any other compiler does without, and so do functions that were changed since.

set(training_options)
set(training_link_options)
string(REGEX MATCH "^[0-9]+\\.[0-9]+" compiler_version "${CMAKE_CXX_COMPILER_VERSION}")
set(notes ${CMAKE_SOURCE_DIR}/docker/training/gcc-${compiler_version}.tar.xz)
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(training "")
elseif(SPILLWAY_TRAINING STREQUAL "use" AND NOT EXISTS "${notes}")
  message(STATUS "docker/training has no notes for this compiler: compiled without")
  set(training "")
else()
  set(training "${SPILLWAY_TRAINING}")
endif()

if(training)
  # Functions that only one file sees are told apart by the name that the file was compiled by.
  file(REAL_PATH ${CMAKE_BINARY_DIR} build_folder)
  file(REAL_PATH ${CMAKE_SOURCE_DIR} source_folder)
  file(RELATIVE_PATH to_sources ${build_folder} ${source_folder})
  if(NOT to_sources MATCHES "^\\.\\./\\.\\./?$")
    message(STATUS "The notes of docker/training fit in part only: they are for a folder such as build/release")
  endif()
  list(PREPEND CMAKE_CXX_COMPILER_LAUNCHER
       ${CMAKE_SOURCE_DIR}/docker/compile_relative.sh ${CMAKE_SOURCE_DIR} "./${to_sources}")
endif()
if(training STREQUAL "record")
  set(training_link_options -fprofile-generate=${build_folder}/training)
  set(training_options ${training_link_options} -fprofile-update=atomic)
elseif(training STREQUAL "use")
  # Other notes are in a folder of another name, so that everything is compiled anew.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${notes})
  file(SHA256 ${notes} hash)
  string(SUBSTRING ${hash} 0 8 hash)
  set(folder ${CMAKE_BINARY_DIR}/training-${hash})
  if(NOT EXISTS ${folder})
    file(GLOB outdated ${CMAKE_BINARY_DIR}/training-*)
    if(outdated)
      file(REMOVE_RECURSE ${outdated})
    endif()
    file(ARCHIVE_EXTRACT INPUT ${notes} DESTINATION ${folder})
    # The compiler looks for a note by the whole path of what it compiles to, ccache by its path from here.
    file(GLOB_RECURSE found RELATIVE ${folder} ${folder}/*.gcda)
    foreach(note IN LISTS found)
      string(REPLACE "/" "#" mangled "${build_folder}/${note}")
      file(CREATE_LINK ${note} "${folder}/${mangled}" RESULT ignored SYMBOLIC)
    endforeach()
  endif()
  # What was not reached is compiled as ever, by an option that ccache does not know.
  set(hidden)
  if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "ccache")
    set(hidden --ccache-skip)
  endif()
  set(training_link_options -fprofile-use=training-${hash})
  set(training_options ${training_link_options} -fprofile-correction -Wno-missing-profile -Wno-coverage-mismatch
      ${hidden} -fprofile-partial-training)
endif()
