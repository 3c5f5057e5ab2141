//! Fields that would change the answer in a way that is not built: refused by name, since an answer without them would
//! not be what was asked for. Values that change nothing are let through, as clients send them.

use serde_json::{Value, json};

use crate::ApiError;

/// Fields with the values that change nothing; `null` is always one.
fn neutral(field: &str) -> Option<Value> {
    Some(match field {
        "logit_bias" => json!([{}]),
        "tools" | "functions" | "stop_token_ids" | "bad_words" | "documents" => json!([[]]),
        "tool_choice" | "function_call" => json!(["none", "auto"]),
        "modalities" => json!([["text"]]),
        "frequency_penalty" | "presence_penalty" | "min_p" | "min_tokens" | "prompt_logprobs" => json!([0, 0.0]),
        "repetition_penalty" | "length_penalty" => json!([1, 1.0]),
        "top_k" => json!([-1, 0]),
        "best_of" => json!([1]),
        "echo" | "use_beam_search" | "ignore_eos" | "include_stop_str_in_output" | "continue_final_message" => {
            json!([false])
        }
        "skip_special_tokens" | "add_generation_prompt" => json!([true]),
        "suffix" => json!([""]),
        "audio"
        | "prediction"
        | "web_search_options"
        | "chat_template"
        | "chat_template_kwargs"
        | "guided_grammar"
        | "allowed_token_ids"
        | "logits_processors"
        | "truncate_prompt_tokens"
        | "prompt_embeds" => json!([]),
        _ => return None,
    })
}

/// # Errors
/// The first field that asks for what is not built.
pub(crate) fn refuse(body: &Value) -> Result<(), ApiError> {
    let Value::Object(fields) = body else { return Ok(()) };
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        if neutral(field).is_some_and(|values| !values.as_array().is_some_and(|list| list.contains(value))) {
            return Err(ApiError::Unsupported(field.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_the_answer_is_refused_by_name() {
        let refused = |body: Value| refuse(&body).err().and_then(|error| error.field().map(str::to_owned));
        for (field, value) in [
            ("tools", json!([{"type": "function"}])),
            ("logit_bias", json!({"5": 1})),
            ("echo", json!(true)),
            ("frequency_penalty", json!(0.5)),
            ("best_of", json!(2)),
            ("audio", json!({"voice": "a"})),
            ("tool_choice", json!("required")),
        ] {
            assert_eq!(refused(json!({"model": "m", field: value})).as_deref(), Some(field));
        }
        let neutral = json!({
            "user": "u", "metadata": {"a": "b"}, "store": true, "service_tier": "auto", "parallel_tool_calls": true,
            "tools": [], "tool_choice": "auto", "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {},
            "echo": false, "audio": null, "top_k": -1, "best_of": 1, "modalities": ["text"],
        });
        assert_eq!(refused(neutral), None);
    }
}
