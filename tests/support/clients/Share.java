import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.serialization.*;

/** Members of a share group: Share BOOTSTRAP GROUP TOPIC COUNT MODE, where MODE is "explicit" or "implicit".
 *
 * Prints MEMBER OFFSET DELIVERIES OUTCOME for each delivery, until COUNT offsets have had their last one. Explicit: one member that gives
 * every third record back at its first delivery, refuses every seventh, and renews the second once. Implicit: two members that take turns. */
public class Share {
    static final List<String> errors = new ArrayList<>();

    static KafkaShareConsumer<String, String> member(String bootstrap, String group, String topic, String mode) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("group.id", group);
        p.put("share.acknowledgement.mode", mode);
        p.put("max.poll.records", "10");
        KafkaShareConsumer<String, String> made =
            new KafkaShareConsumer<>(p, new StringDeserializer(), new StringDeserializer());
        made.setAcknowledgementCommitCallback((offsets, error) -> {
            if (error != null) errors.add(error.toString());
        });
        made.subscribe(List.of(topic));
        return made;
    }

    public static void main(String[] args) {
        int count = Integer.parseInt(args[3]);
        boolean explicit = args[4].equals("explicit");
        List<KafkaShareConsumer<String, String>> members = new ArrayList<>();
        for (int n = 0; n < (explicit ? 1 : 2); n++) members.add(member(args[0], args[1], args[2], args[4]));
        Set<Long> done = new HashSet<>();
        Set<Long> renewed = new HashSet<>();
        long end = System.nanoTime() + 40_000_000_000L;
        while (done.size() < count && System.nanoTime() < end) {
            for (int n = 0; n < members.size(); n++) {
                KafkaShareConsumer<String, String> member = members.get(n);
                for (ConsumerRecord<String, String> r : member.poll(Duration.ofMillis(300))) {
                    AcknowledgeType said = AcknowledgeType.ACCEPT;
                    if (explicit) {
                        if (r.offset() == 1 && renewed.add(r.offset())) said = AcknowledgeType.RENEW;
                        else if (r.offset() % 7 == 6) said = AcknowledgeType.REJECT;
                        else if (r.offset() % 3 == 0 && r.deliveryCount().get() == 1) said = AcknowledgeType.RELEASE;
                        member.acknowledge(r, said);
                    }
                    if (said == AcknowledgeType.ACCEPT || said == AcknowledgeType.REJECT) done.add(r.offset());
                    System.out.println(n + " " + r.offset() + " " + r.deliveryCount().get() + " " + said);
                }
                if (explicit) member.commitSync().forEach((partition, error) -> error.ifPresent(e -> errors.add(e.toString())));
            }
        }
        for (KafkaShareConsumer<String, String> member : members) {
            member.commitSync();
            member.close();
        }
        for (String error : errors) System.out.println("error " + error);
    }
}
