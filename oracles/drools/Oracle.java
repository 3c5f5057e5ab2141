import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import java.util.stream.Collectors;

import org.drools.model.codegen.ExecutableModelProject;
import org.kie.api.KieBase;
import org.kie.api.KieServices;
import org.kie.api.builder.*;
import org.kie.api.definition.KiePackage;
import org.kie.api.definition.rule.Global;
import org.kie.api.event.rule.AfterMatchFiredEvent;
import org.kie.api.event.rule.BeforeMatchFiredEvent;
import org.kie.api.event.rule.DefaultAgendaEventListener;
import org.kie.api.runtime.KieSession;

/** Runs DRL through real Drools (executable model) and prints what happened, one JSON line per request. See README.md. */
public class Oracle {
    static PrintStream out;
    static final Map<String, KieBase> bases = new HashMap<>();

    public static void main(String[] args) throws Exception {
        out = new PrintStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16), false, "UTF-8");
        System.setOut(System.err);
        String mode = args.length > 0 ? args[0] : "";
        int rc = 0;
        if (mode.equals("fire")) fireLoop();
        else if (mode.equals("run") && args.length == 2) runLoop(args[1]);
        else if ((mode.equals("record") || mode.equals("check")) && args.length > 1) {
            for (int i = 1; i < args.length; i++) rc |= folder(Path.of(args[i]), mode.equals("check"));
        } else { System.err.println("modes: fire | run DRL | record DIR.. | check DIR.."); rc = 2; }
        out.flush();
        System.exit(rc);
    }

    static BufferedReader stdin() { return new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)); }

    static void line(Object o) { StringBuilder b = new StringBuilder(); write(b, o); out.println(b); }

    // ---------- building ----------
    static KieBase base(String path) throws Exception {
        String drl = Files.readString(Path.of(path));
        KieBase kb = bases.get(drl);
        if (kb != null) return kb;
        KieServices ks = KieServices.Factory.get();
        KieFileSystem kfs = ks.newKieFileSystem();
        ReleaseId rid = ks.newReleaseId("oracle", "r" + bases.size() + "x" + System.nanoTime(), "1");
        kfs.generateAndWritePomXML(rid);
        kfs.write("src/main/resources/rules.drl", drl);
        KieBuilder kb0 = ks.newKieBuilder(kfs).buildAll(ExecutableModelProject.class);
        List<Message> errors = kb0.getResults().getMessages(Message.Level.ERROR);
        if (!errors.isEmpty())
            throw new BuildError(errors.stream().map(Message::getText).collect(Collectors.joining("\n")));
        kb = ks.newKieContainer(rid).getKieBase();
        ks.getRepository().removeKieModule(rid);
        bases.put(drl, kb);
        return kb;
    }

    static class BuildError extends Exception { BuildError(String m) { super(m); } }

    static String chain(Throwable t) {
        StringBuilder b = new StringBuilder();
        for (int n = 0; t != null && n < 12; n++, t = t.getCause())
            b.append(n > 0 ? " <- " : "").append(t.getClass().getName()).append(": ").append(t.getMessage());
        return b.toString();
    }

    static Map<String, Object> map(Object... kv) {
        Map<String, Object> m = new LinkedHashMap<>();
        for (int i = 0; i < kv.length; i += 2) m.put((String) kv[i], kv[i + 1]);
        return m;
    }

    // ---------- fire ----------
    static void fireLoop() throws IOException {
        BufferedReader in = stdin();
        for (String l; (l = in.readLine()) != null; ) {
            if (l.isBlank()) continue;
            Object r;
            try {
                Map<?, ?> q = (Map<?, ?>) Json.parse(l);
                Object f = q.get("facts");
                if (f instanceof String) {
                    String s = ((String) f).trim();
                    f = Json.parse(s.startsWith("[") ? s : Files.readString(Path.of(s)));
                }
                Object max = q.get("max");
                r = fire((String) q.get("drl"), (List<?>) f, max == null ? 200 : ((Number) max).intValue());
            } catch (Throwable t) { r = map("error", chain(t)); }
            line(r);
            out.flush();
        }
    }

    static Object fire(String drl, List<?> facts, int max) {
        List<Object> fired = new ArrayList<>();
        Map<String, Object> globals = new TreeMap<>();
        KieSession s = null;
        boolean started = false;
        try {
            KieBase kb = base(drl);
            s = kb.newKieSession();
            started = true;
            for (KiePackage p : kb.getKiePackages())
                for (Global g : p.getGlobalVariables()) {
                    Object v = fresh(g.getType());
                    if (v == null) continue;
                    s.setGlobal(g.getName(), v);
                    globals.put(g.getName(), v);
                }
            s.addEventListener(new DefaultAgendaEventListener() {
                @Override public void beforeMatchFired(BeforeMatchFiredEvent e) { fired.add(e.getMatch().getRule().getName()); }
            });
            for (Object f : facts) if (f != null) s.insert(f);
            s.fireAllRules(max);
            return map("fired_rules", fired, "globals", globals);
        } catch (Throwable t) {
            return started ? map("error", chain(t), "fired_rules", fired, "globals", globals) : map("error", chain(t));
        } finally { if (s != null) try { s.dispose(); } catch (Throwable t) { } }
    }

    static Object fresh(String type) {
        int lt = type.indexOf('<');
        String t = (lt < 0 ? type : type.substring(0, lt)).trim();
        switch (t.substring(t.lastIndexOf('.') + 1)) {
            case "List": case "ArrayList": case "Collection": return new ArrayList<Object>();
            case "Map": case "HashMap": case "LinkedHashMap": return new LinkedHashMap<Object, Object>();
            case "Set": case "HashSet": case "LinkedHashSet": return new LinkedHashSet<Object>();
            default: return null;
        }
    }

    // ---------- a folder of NAME.drl + NAME.facts.json ----------
    static int folder(Path dir, boolean check) throws IOException {
        List<Path> drls;
        try (var st = Files.list(dir)) { drls = st.filter(p -> p.toString().endsWith(".drl")).sorted().collect(Collectors.toList()); }
        int bad = 0;
        for (Path p : drls) {
            String stem = p.toString().substring(0, p.toString().length() - 4);
            Path ff = Path.of(stem + ".facts.json"), ef = Path.of(stem + ".expected.json");
            if (!Files.exists(ff)) continue;
            Object r;
            try { r = fire(p.toString(), (List<?>) Json.parse(Files.readString(ff)), 200); }
            catch (Throwable t) { r = map("error", chain(t)); }
            StringBuilder b = new StringBuilder();
            write(b, r);
            boolean err = ((Map<?, ?>) r).containsKey("error");
            String verdict = err ? "ERROR " + ((Map<?, ?>) r).get("error") : "recorded";
            if (check) {
                boolean same = Files.exists(ef) && Json.parse(Files.readString(ef)).equals(Json.parse(b.toString()));
                verdict = same ? "equal" : "DIFFERENT " + b;
                if (!same) bad++;
            } else Files.writeString(ef, b + "\n");
            out.println(p.getFileName() + ": " + verdict);
            out.flush();
        }
        if (check) out.println(drls.size() + " rule files, " + bad + " different");
        return bad > 0 ? 1 : 0;
    }

    // ---------- run: transaction cases ----------
    static void runLoop(String drl) throws Exception {
        KieBase kb;
        try { kb = base(drl); } catch (Throwable t) { line(map("error", chain(t))); return; }
        BufferedReader in = stdin();
        for (String l; (l = in.readLine()) != null; ) {
            if (l.isBlank()) continue;
            line(runCase(kb, l));
            out.flush();
        }
    }

    @SuppressWarnings("unchecked")
    static Object runCase(KieBase kb, String l) {
        KieSession s = null;
        try {
            Map<String, Object> facts = (Map<String, Object>) Json.parse(l);
            if (facts.get("facts") instanceof Map) facts = (Map<String, Object>) facts.get("facts");
            s = kb.newKieSession();
            List<Object> fired = new ArrayList<>();
            Map<String, Object> o = new LinkedHashMap<>();
            s.setGlobal("fired", fired);
            s.setGlobal("out", o);
            Object txs = facts.get("recent_tx");
            if (txs instanceof List)
                for (Object t : (List<?>) txs)
                    if (t instanceof Map) {
                        Map<String, Object> tx = new HashMap<>((Map<String, Object>) t);
                        tx.put("__type", "Transaction");
                        s.insert(tx);
                    }
            s.insert(facts);
            s.fireAllRules();
            return map("decision", map("aml_decision", o.getOrDefault("aml_decision", "CLEAR"),
                    "escalation_level", o.getOrDefault("escalation_level", 0), "reasons", o.getOrDefault("flags", List.of())),
                    "fired_rules", fired);
        } catch (Throwable t) {
            return map("error", chain(t));
        } finally { if (s != null) try { s.dispose(); } catch (Throwable t) { } }
    }

    // ---------- JSON out ----------
    static void write(StringBuilder b, Object o) {
        if (o == null || o instanceof Boolean || o instanceof Integer || o instanceof Long || o instanceof Short || o instanceof Byte
                || o instanceof java.math.BigInteger) b.append(o);
        else if (o instanceof Double || o instanceof Float) {
            double d = ((Number) o).doubleValue();
            if (Double.isNaN(d) || Double.isInfinite(d)) str(b, o.toString()); else b.append(o);
        } else if (o instanceof Map) {
            b.append('{');
            String sep = "";
            for (Map.Entry<?, ?> e : ((Map<?, ?>) o).entrySet()) {
                b.append(sep); sep = ", ";
                str(b, String.valueOf(e.getKey())); b.append(": "); write(b, e.getValue());
            }
            b.append('}');
        } else if (o instanceof Iterable && !(o instanceof Path)) {
            b.append('[');
            String sep = "";
            for (Object e : (Iterable<?>) o) { b.append(sep); sep = ", "; write(b, e); }
            b.append(']');
        } else if (o.getClass().isArray()) {
            List<Object> l = new ArrayList<>();
            for (int i = 0; i < java.lang.reflect.Array.getLength(o); i++) l.add(java.lang.reflect.Array.get(o, i));
            write(b, l);
        } else str(b, String.valueOf(o));
    }

    static void str(StringBuilder b, String s) {
        b.append('"');
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c == '"' || c == '\\') b.append('\\').append(c);
            else if (c == '\n') b.append("\\n");
            else if (c == '\t') b.append("\\t");
            else if (c == '\r') b.append("\\r");
            else if (c < 32 || c == 0x2028 || c == 0x2029) b.append(String.format("\\u%04x", (int) c));
            else if (Character.isSurrogate(c)) {
                if (Character.isHighSurrogate(c) && i + 1 < s.length() && Character.isLowSurrogate(s.charAt(i + 1))) b.append(c).append(s.charAt(++i));
                else b.append(String.format("\\u%04x", (int) c));
            } else b.append(c);
        }
        b.append('"');
    }

    // ---------- JSON in: what Jackson's untyped binding gives (Integer, Long, BigInteger, Double, LinkedHashMap, ArrayList; last duplicate wins) ----------
    static class Json {
        final String s; int p;
        Json(String s) { this.s = s; }

        static Object parse(String s) {
            Json j = new Json(s);
            if (s.startsWith("\uFEFF")) j.p = 1;
            Object v = j.value();
            j.ws();
            if (j.p < s.length()) throw j.bad("text after the value");
            return v;
        }

        IllegalArgumentException bad(String m) { return new IllegalArgumentException("JSON: " + m + " at " + p); }
        void ws() { while (p < s.length() && " \t\r\n".indexOf(s.charAt(p)) >= 0) p++; }
        char peek() { ws(); if (p >= s.length()) throw bad("unexpected end"); return s.charAt(p); }

        Object value() {
            char c = peek();
            if (c == '{') {
                Map<String, Object> m = new LinkedHashMap<>();
                p++;
                if (peek() == '}') { p++; return m; }
                while (true) {
                    if (peek() != '"') throw bad("expected a name");
                    String k = string();
                    if (peek() != ':') throw bad("expected :");
                    p++;
                    m.put(k, value());
                    c = peek(); p++;
                    if (c == '}') return m;
                    if (c != ',') throw bad("expected , or }");
                }
            }
            if (c == '[') {
                List<Object> l = new ArrayList<>();
                p++;
                if (peek() == ']') { p++; return l; }
                while (true) {
                    l.add(value());
                    c = peek(); p++;
                    if (c == ']') return l;
                    if (c != ',') throw bad("expected , or ]");
                }
            }
            if (c == '"') return string();
            for (String w : new String[]{"true", "false", "null"})
                if (s.startsWith(w, p)) { p += w.length(); return w.equals("null") ? null : (Object) w.equals("true"); }
            return number();
        }

        Object number() {
            int b = p;
            boolean real = false;
            if (at('-')) p++;
            int d = p;
            digits();
            if (p - d > 1 && s.charAt(d) == '0') throw bad("leading zero");
            if (at('.')) { real = true; p++; digits(); }
            if (at('e') || at('E')) { real = true; p++; if (at('+') || at('-')) p++; digits(); }
            String t = s.substring(b, p);
            if (real) return Double.parseDouble(t);
            if (t.length() < 19) { long v = Long.parseLong(t); return v == (int) v ? (Object) (int) v : (Object) v; }
            java.math.BigInteger g = new java.math.BigInteger(t);
            return g.bitLength() < 64 ? (Object) g.longValue() : g;
        }

        boolean at(char c) { return p < s.length() && s.charAt(p) == c; }
        void digits() { int b = p; while (p < s.length() && s.charAt(p) >= '0' && s.charAt(p) <= '9') p++; if (b == p) throw bad("expected a digit"); }

        String string() {
            StringBuilder b = new StringBuilder();
            p++;
            while (true) {
                if (p >= s.length()) throw bad("unterminated string");
                char c = s.charAt(p++);
                if (c == '"') return b.toString();
                if (c < 32) throw bad("control character in string");
                if (c != '\\') { b.append(c); continue; }
                if (p >= s.length()) throw bad("unterminated string");
                c = s.charAt(p++);
                switch (c) {
                    case '"': case '\\': case '/': b.append(c); break;
                    case 'b': b.append('\b'); break;
                    case 'f': b.append('\f'); break;
                    case 'n': b.append('\n'); break;
                    case 'r': b.append('\r'); break;
                    case 't': b.append('\t'); break;
                    case 'u':
                        if (p + 4 > s.length()) throw bad("short escape");
                        int v = 0;
                        for (int i = 0; i < 4; i++) {
                            int h = "0123456789abcdef".indexOf(Character.toLowerCase(s.charAt(p++)));
                            if (h < 0) throw bad("bad escape");
                            v = v * 16 + h;
                        }
                        b.append((char) v);
                        break;
                    default: throw bad("unknown escape");
                }
            }
        }
    }
}
