// Writes messages of kafka-clients 4.4.0 as golden bytes, with the values that are in them:
//
//     java -cp kafka-clients-4.4.0.jar:slf4j-api.jar tools/golden/KafkaClientsGolden.java > tests/golden/kafka_clients.json
//
// Every message for clients is filled by reflection in its newest version, and in three ways where it is newer than what
// the round-trip tests' other oracle knows: "full" sets every field, "nulls" every field that may be null to null,
// "defaults" nothing. One line is one message.

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class KafkaClientsGolden {
    static final Set<Integer> CONTROLLER_AND_BROKER_KEYS =
        Set.of(52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 80, 81, 82, 83, 84, 85, 86, 87, 94);
    static final Set<String> NEWEST =
        Set.of("18.5", "28.6", "42.3", "88.1", "89.1", "93.0");

    static int counter;

    public static void main(String[] args) throws Exception {
        List<String> lines = new ArrayList<>();
        for (ApiMessageType type : ApiMessageType.values()) {
            int key = type.apiKey();
            if (CONTROLLER_AND_BROKER_KEYS.contains(key) || type.highestSupportedVersion(false) < 0) {
                continue;
            }
            short version = type.highestSupportedVersion(false);
            boolean newest = NEWEST.contains(key + "." + version);
            for (String filling : newest ? List.of("full", "nulls", "defaults") : List.of("full")) {
                lines.add(line(key, "request", version, filling, type.newRequest()));
                lines.add(line(key, "response", version, filling, type.newResponse()));
            }
        }
        System.out.println("[\n" + String.join(",\n", lines) + "\n]");
    }

    static String line(int key, String kind, short version, String filling, ApiMessage message) throws Exception {
        counter = 0;
        Map<String, Object> values = filling.equals("defaults") ? Map.of() : fill(message, version, filling.equals("nulls"));
        ByteBuffer buffer = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return "{\"key\":" + key + ",\"kind\":\"" + kind + "\",\"version\":" + version + ",\"filling\":\"" + filling
            + "\",\"hex\":\"" + HexFormat.of().formatHex(bytes) + "\",\"values\":" + json(values) + "}";
    }

    /** Sets every field that the version has; the values, by the field's name in Kafka's schema. */
    static Map<String, Object> fill(Object object, short version, boolean nulls) throws Exception {
        Map<String, Object> values = new LinkedHashMap<>();
        Schema schema = ((Schema[]) object.getClass().getField("SCHEMAS").get(null))[version];
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                for (var field : tagged.fields().values()) {
                    set(object, field.name, field.type.isNullable(), version, nulls, values);
                }
            } else {
                set(object, bound.def.name, bound.def.type.isNullable(), version, nulls, values);
            }
        }
        return values;
    }

    static void set(Object object, String name, boolean nullable, short version, boolean nulls, Map<String, Object> values)
            throws Exception {
        String camel = camel(name);
        Field field = object.getClass().getDeclaredField(camel);
        Method setter = object.getClass().getMethod("set" + Character.toUpperCase(camel.charAt(0)) + camel.substring(1), field.getType());
        if (nullable && nulls) {
            setter.invoke(object, (Object) null);
            values.put(name, null);
            return;
        }
        Object[] made = value(field.getGenericType(), name, version, nulls);
        setter.invoke(object, made[0]);
        values.put(name, made[1]);
    }

    /** A value of a type, and how it is shown. */
    static Object[] value(Type type, String name, short version, boolean nulls) throws Exception {
        counter++;
        if (type == boolean.class) return same(true);
        if (type == byte.class || type == Byte.class) return same((byte) (counter % 100 + 1));
        if (type == short.class || type == Short.class) return same((short) (1000 + counter));
        if (type == int.class || type == Integer.class) {
            return same((name.equals("port") ? 9000 : 1_000_000) + counter);
        }
        if (type == long.class || type == Long.class) return same(10_000_000_000L + counter);
        if (type == double.class) return same(counter + 0.5);
        if (type == String.class) return same(name + "-" + counter + "-\u00e4");
        if (type == Uuid.class) {
            Uuid uuid = new Uuid(0x0102030405060708L, counter);
            return new Object[] {uuid, String.format("%016x%016x", uuid.getMostSignificantBits(), uuid.getLeastSignificantBits())};
        }
        if (type == byte[].class) {
            byte[] bytes = {1, 2, (byte) counter};
            return new Object[] {bytes, HexFormat.of().formatHex(bytes)};
        }
        if (type == ByteBuffer.class || type == BaseRecords.class) {
            byte[] bytes = {3, 4, (byte) counter};
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            Object made = type == ByteBuffer.class ? buffer : MemoryRecords.readableRecords(buffer);
            return new Object[] {made, HexFormat.of().formatHex(bytes)};
        }
        if (type instanceof ParameterizedType generic) {
            return list(new ArrayList<>(), generic.getActualTypeArguments()[0], name, version, nulls);
        }
        Class<?> plain = (Class<?>) type;
        Object made = plain.getConstructor().newInstance();
        if (made instanceof Collection<?> collection) {
            Type element = ((ParameterizedType) plain.getGenericSuperclass()).getActualTypeArguments()[0];
            return list(collection, element, name, version, nulls);
        }
        return new Object[] {made, fill(made, version, nulls)};
    }

    @SuppressWarnings("unchecked")
    static Object[] list(Collection<?> made, Type element, String name, short version, boolean nulls) throws Exception {
        boolean struct = element instanceof Class<?> c && c.getName().contains("Data$");
        List<Object> shown = new ArrayList<>();
        for (int i = 0; i < (struct ? 1 : 2); i++) {
            Object[] one = value(element, name, version, nulls);
            ((Collection<Object>) made).add(one[0]);
            shown.add(one[1]);
        }
        return new Object[] {made, shown};
    }

    static Object[] same(Object value) {
        return new Object[] {value, value};
    }

    static String camel(String snake) {
        StringBuilder text = new StringBuilder();
        for (String word : snake.split("_")) {
            text.append(text.isEmpty() ? word : Character.toUpperCase(word.charAt(0)) + word.substring(1));
        }
        return text.toString();
    }

    static String json(Object value) {
        if (value instanceof Map<?, ?> map) {
            List<String> parts = new ArrayList<>();
            map.forEach((k, v) -> parts.add("\"" + k + "\":" + json(v)));
            return "{" + String.join(",", parts) + "}";
        }
        if (value instanceof List<?> list) {
            List<String> parts = new ArrayList<>();
            list.forEach(v -> parts.add(json(v)));
            return "[" + String.join(",", parts) + "]";
        }
        return value instanceof String text ? "\"" + text.replace("\u00e4", "\\u00e4") + "\"" : String.valueOf(value);
    }
}
