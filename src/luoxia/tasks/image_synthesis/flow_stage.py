"""Training a flow."""

from __future__ import annotations

from typing import Any, ClassVar

from luoxia.tasks.image_synthesis.flow import Flow
from luoxia.tasks.image_synthesis.flow_generator import FlowGenerator
from luoxia.tasks.image_synthesis.stage import SynthesisStage
from luoxia.tasks.shared.flow_matching import FlowMatching
from luoxia.training.objective import Objective


class FlowStage(SynthesisStage):
    """The training of a flow."""

    network: ClassVar[str] = "flow"
    recipe: Flow

    def objective(self) -> Objective:
        """The loss on velocities."""
        recipe = self.recipe
        network = recipe.network(self.data.spec, self.spec)
        return FlowMatching(self.network, network, recipe.t_mean, recipe.t_spread)

    def generator(self) -> FlowGenerator:
        """Of the weights of this moment."""
        network: Any = self.network_now()
        return FlowGenerator(network, self.recipe.solver)
