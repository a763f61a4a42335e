from .conversations import monitor
from .geometry import geometry_by_layer, likeness_by_chance, role_tree
from .lens import layer_logprobs, logit_lens, most_likely, name_logits
from .patchscopes import TARGET, Injection, patchscope, placeholder_positions, word_states
from .persona_shifts import persona_shift, shift_along_directions
from .prompt_influence import fewest_that_turn, influence, without
from .stability import bootstrap_cosines, held_out_auc, leave_one_out, stability_by_number
from .token_view import TokenView, circuitsvis_script, project_tokens, views_on_one_scale

__all__ = [
    "TARGET",
    "Injection",
    "TokenView",
    "bootstrap_cosines",
    "circuitsvis_script",
    "fewest_that_turn",
    "geometry_by_layer",
    "held_out_auc",
    "influence",
    "layer_logprobs",
    "leave_one_out",
    "likeness_by_chance",
    "logit_lens",
    "monitor",
    "most_likely",
    "name_logits",
    "patchscope",
    "persona_shift",
    "placeholder_positions",
    "project_tokens",
    "role_tree",
    "shift_along_directions",
    "stability_by_number",
    "views_on_one_scale",
    "without",
    "word_states",
]
