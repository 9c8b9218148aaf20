// Which deployments of a group may take a request at all, whatever their health: those that offer
// its endpoint, that its tags allow, and whose window it is not known to exceed.
//
// Tags mean what they mean in LiteLLM: a tagged request goes to deployments with one of its tags
// (or with all, if so configured) and, when none of these can take it, to those tagged "default";
// an untagged one goes to those tagged "default" if there are any, else to all.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "core/request_options.hpp"

namespace spillway {

class Eligibility {
 public:
  Eligibility(const Config& config, const ModelMatch& model, const RequestTraits& traits);

  // Why nobody may take the request. Looks at everybody.
  enum class Closed : std::uint8_t { by_endpoint, by_tags, by_window };
  std::optional<Closed> closed() const;
  // The same for what the request itself says: by_tags or by_window.
  std::optional<Closed> closed_to_request() const { return closed_; }

  bool admits(DeploymentIndex deployment) const;
  // The model that `refused` serves (named `upstream_model` there) found the request too long: the
  // same model of the same provider at the same address would again, unless its declared window is
  // larger. `captures` are what the group's own wildcards stand for.
  void bar_model(const Deployment& refused, const std::string& upstream_model,
                 const std::vector<std::string>& captures);

  // Of those admitted: asked only when none of the others can be.
  bool in_reserve(DeploymentIndex deployment) const;
  bool has_reserve() const { return by_tags_ && !traits_->options.tags.empty(); }

  // Everybody in question: the group's usable deployments, or the one called by its id.
  std::span<const DeploymentIndex> members() const { return members_; }

 private:
  // What a deployment's tags make of it for this request.
  enum class Standing : std::uint8_t { asked, reserve, barred };

  bool offers(DeploymentIndex deployment) const;
  bool offered() const;  // by anybody
  Standing standing(const Deployment& deployment) const;
  bool too_small(const Deployment& deployment) const;
  bool tags_decide() const;
  void close_if_empty(Closed reason);

  const Config* config_;
  const RequestTraits* traits_;
  std::span<const DeploymentIndex> members_;
  // Nobody is sorted beforehand: of a large group a request looks at a few only.
  bool by_tags_ = false;
  bool by_window_ = false;
  std::vector<DeploymentIndex> found_too_small_;
  std::optional<Closed> closed_;  // never by_endpoint
};

}  // namespace spillway
