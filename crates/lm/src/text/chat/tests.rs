use super::{CHATML, ChatTemplate, Message, Turns};
use crate::text::{Tokenizer, TrainingOptions};
use jiff::civil::date;

fn tokenizer(template: &str) -> Tokenizer {
    let options = TrainingOptions { vocabulary: 259, ..TrainingOptions::default() };
    let mut tokenizer = Tokenizer::train(std::iter::empty(), &options).expect("a tokenizer");
    tokenizer.set_template(template);
    tokenizer
}

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(&tokenizer(source), None).expect("a template")
}

fn render(source: &str) -> String {
    template(source).render(&conversation(), true).expect("a text")
}

fn problem(source: &str) -> String {
    let template = ChatTemplate::new(&tokenizer(source), None);
    template.and_then(|template| template.render(&conversation(), true)).expect_err("an error").to_string()
}

fn conversation() -> Vec<Message> {
    [
        ("system", " Be brief. "),
        ("user", "First?"),
        ("assistant", "<think>hm</think>One."),
        ("user", "Then?"),
        ("assistant", "Two."),
    ]
    .map(|(role, content)| Message::new(role, content))
    .into()
}

#[test]
fn chatml_marks_what_the_assistant_says() {
    let rendered = template(CHATML).completions(&conversation(), Turns::All).expect("a text");
    let said: Vec<_> = rendered.completions.iter().map(|span| &rendered.text[span.clone()]).collect();
    assert_eq!(said, ["<think>hm</think>One.<|im_end|>\n", "Two.<|im_end|>\n"]);
    assert!(
        rendered.text.starts_with("<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\nFirst?<|im_end|>\n")
    );
    let last = template(CHATML).completions(&conversation(), Turns::Last).expect("a text");
    assert_eq!(last.completions, rendered.completions[1..]);
}

#[test]
fn turns_behind_the_last_answer_are_left_out() {
    let mut longer = conversation();
    longer.push(Message::new("user", "And?"));
    let template = template(CHATML);
    assert_eq!(template.completions(&longer, Turns::All).ok(), template.completions(&conversation(), Turns::All).ok());
    let error = template.completions(&longer[..2], Turns::All).expect_err("an error").to_string();
    assert!(error.contains("no turn"), "{error}");
}

#[test]
fn a_template_that_writes_earlier_turns_otherwise_counts_only_the_last() {
    // As reasoning models do: thoughts are shown in the last turn alone.
    let source = "{%- for message in messages %}\n\
        {%- set content = message.content.split('</think>')[-1] if not loop.last else message.content %}\n\
        {{- '[' + message.role + ']' + content }}\n{%- endfor %}\n\
        {%- if add_generation_prompt %}{{ '[assistant]' }}{% endif %}";
    let template = template(source);
    let error = template.completions(&conversation(), Turns::All).expect_err("an error").to_string();
    assert!(error.contains("turn 3") && error.contains("last turn alone"), "{error}");
    let rendered = template.completions(&conversation(), Turns::Last).expect("a text");
    assert_eq!(rendered.text[rendered.completions[0].clone()], *"Two.");
}

#[test]
fn templates_find_what_transformers_offers_them() {
    for (source, expected) in [
        ("{{ eos_token }}{{ bos_token }}", "<|im_end|>"),
        ("a\\\nb{{ 'c\\\nd' }}{%- set e = 'f\\\ng' %}{{ e }}", "a\\\nbcdfg"),
        ("{{ messages[0].content.strip() | upper }}{{ messages[0]['role'].startswith('sys') }}", "BE BRIEF.True"),
        (
            "{%- for m in messages[::-1] %}{% if loop.index0 > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
            "Two.Then?",
        ),
        ("{%- set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "5"),
        ("{{ messages[1] | tojson }}", r#"{"role": "user", "content": "First?"}"#),
        ("{{ ['<é>', {'a': none}] | tojson(ensure_ascii=false) }}", r#"["<é>", {"a": null}]"#),
        ("{{ [1] | tojson(indent=2) }}", "[\n  1\n]"),
        ("{% if tools is not none %}a{% endif %}{% if not strftime_now is defined %}b{% endif %}{{ nothing }}", "b"),
        (
            "{% for m in messages %}\n  {% if m.role == 'user' %}\n{{ m.content }}\n  {% endif %}\n{% endfor %}",
            "First?\nThen?\n",
        ),
        ("a\n{%- generation -%}\n b\n{%- endgeneration %}\n{% set generation = 'c' %}{{ generation }}", "abc"),
        ("{% macro turn(m) %}<{{ m.role }}>{% endmacro %}{{ turn(messages[0]) }}", "<system>"),
    ] {
        assert_eq!(render(source), expected, "{source}");
    }
}

#[test]
fn what_stands_behind_the_whole_conversation_ends_no_earlier_turn() {
    // As Phi-4 does.
    let source = "{%- for message in messages %}{{ '<|im_start|>' + message.role + ':' + message.content + '<|im_end|>' }}\
        {%- endfor %}{{ '<|im_start|>assistant:' if add_generation_prompt else '<|endoftext|>' }}";
    let rendered = template(source).completions(&conversation(), Turns::All).expect("a text");
    let said: Vec<_> = rendered.completions.iter().map(|span| &rendered.text[span.clone()]).collect();
    assert_eq!(said, ["<think>hm</think>One.<|im_end|>", "Two.<|im_end|><|endoftext|>"]);
}

#[test]
fn the_date_is_given_and_never_today() {
    let tokenizer = tokenizer("{{ strftime_now('%d %b %Y') }}");
    let template = ChatTemplate::new(&tokenizer, Some(date(2025, 2, 3))).expect("a template");
    assert_eq!(template.render(&[], false).expect("a text"), "03 Feb 2025");
    assert!(problem("{{ strftime_now('%d') }}").contains("strftime_now"));
}

#[test]
fn what_a_template_refuses_or_cannot_do_is_said() {
    assert!(problem("a\n{{ raise_exception('roles must alternate') }}").contains("roles must alternate in line 2"));
    assert!(problem("{% if %}").contains("chat template"));
    assert!(problem("{{ messages[9].content.strip() }}").contains("chat template"));
    assert!(problem("{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}").contains("chat template"));
    assert!(problem("{{ messages | tojson(sort_keys=true) }}").contains("sort_keys"));
}
