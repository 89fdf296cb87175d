"""What the templates have of attributes of whole sequences; nothing for a network without any."""

from string import Template

from numlstm.architecture.spec import NetworkSpec

# of a network without attributes
PLAIN = {
    "static_size": "",
    "or_static": "",
    "static_member": "",
    "reset_says": "",
    "reset_takes": "",
    "terms_parameter": "",
    "terms_passed": "",
    "first_sum": "NORMALISED ? 0 : w->bias[u]",
    "terms_finite": "",
    "terms_of_level": "",
    "reset_begins": """int l;
    if (state == NULL) return ${NAME}_NULL;
    if (misaligned(state)) return ${NAME}_MISALIGNED;""",
    "reset_static": "",
    "fortran_says": "",
    "fortran_size": "",
    "fortran_member": "",
    "fortran_passed": "",
    "fortran_imports": "",
    "fortran_argument": "",
}
# of one with some: the state has what they add to the sums of the first layer
STATIC = {
    "static_size": """
    ${NAME}_ATTRIBUTES = $attributes, /* of a whole sequence */""",
    "or_static": ", or in the attributes",
    "static_member": """
    $number terms[$terms]; /* what the attributes of the sequence add, from ${name}_reset */""",
    "reset_says": """ of a sequence with these attributes, which are in
   the units of the data that the network was trained on""",
    "reset_takes": ", const $number *attributes",
    "terms_parameter": ", const number *terms",
    "terms_passed": ", terms",
    "first_sum": "(NORMALISED ? 0 : w->bias[u]) + (terms == NULL ? 0 : terms[u])",
    "terms_finite": """
           && all_finite(state->terms, GATES * UNITS)""",
    "terms_of_level": """,
                      l == 0 ? state->terms : NULL""",
    "reset_begins": """number values[${NAME}_ATTRIBUTES], terms[GATES * UNITS];
    int k, l;
    if (state == NULL || attributes == NULL) return ${NAME}_NULL;
    if (misaligned(state) || misaligned(attributes)) return ${NAME}_MISALIGNED;
    if (overlap(state, sizeof *state, attributes, sizeof values)) return ${NAME}_OVERLAP;
    if (!all_finite(attributes, ${NAME}_ATTRIBUTES)) return ${NAME}_INPUT_NOT_FINITE;
    for (k = 0; k < ${NAME}_ATTRIBUTES; k++)
        values[k] = (number)(((double)attributes[k] - STATIC_MEAN[k]) / STATIC_SCALE[k]);
    memset(terms, 0, sizeof terms);
    multiply(${NAME}_ATTRIBUTES, GATES * UNITS, weight_is_0, values, terms);
    if (!all_finite(terms, GATES * UNITS)) return ${NAME}_OVERFLOW;""",
    "reset_static": """
    memcpy(state->terms, terms, sizeof terms);""",
    "fortran_says": """ of a sequence with these attributes, which are in
      ! the units of the data that the network was trained on""",
    "fortran_size": """
   integer, parameter, public :: ${name}_attributes = $attributes ! of a whole sequence""",
    "fortran_member": """
      real(c_$number) :: terms($terms) ! what the attributes of the sequence add""",
    "fortran_passed": ", attributes",
    "fortran_imports": ", c_$number",
    "fortran_argument": """
         real(c_$number), intent(in) :: attributes($attributes)""",
}


def static_fields(spec: NetworkSpec, name: str, number: str) -> dict[str, str]:
    """The fields of the templates, for the files of a name."""
    of_name = {"name": name, "NAME": name.upper(), "number": number}
    if not spec.static_size:
        return _filled(PLAIN, of_name)
    terms = str(len(spec.cell.gates) * spec.hidden_size)
    sizes = {"attributes": str(spec.static_size), "terms": terms}
    return _filled(STATIC, of_name | sizes)


def _filled(texts: dict[str, str], fields: dict[str, str]) -> dict[str, str]:
    return {key: Template(text).substitute(fields) for key, text in texts.items()}
