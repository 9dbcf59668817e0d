// java ReadProcessWrite.java BOOTSTRAP INPUT OUTPUT THREADS RECORDS THERE WARM_SECONDS SECONDS
//
// Each of THREADS reads a partition of INPUT of its own, which holds THERE records, again and again, and writes what it read to OUTPUT in transactions of RECORDS,
// with the group's offsets in them; settings are the clients' own but for max.poll.records. Prints "ready" when it is warm, and after SECONDS one line of JSON.
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

public class ReadProcessWrite {
    static volatile boolean counting = false;
    static volatile boolean going = true;
    static volatile Throwable failure = null;

    static class Worker extends Thread {
        final String bootstrap, output;
        final TopicPartition input;
        final int records;
        final long there;
        final List<Long> commits = new ArrayList<>();
        long transactions = 0;

        Worker(String bootstrap, TopicPartition input, String output, int records, long there) {
            this.bootstrap = bootstrap;
            this.input = input;
            this.output = output;
            this.records = records;
            this.there = there;
        }

        @Override
        public void run() {
            try {
                work();
            } catch (Throwable e) {
                failure = e;
            }
        }

        void work() {
            Properties reading = new Properties();
            reading.put("bootstrap.servers", bootstrap);
            reading.put("group.id", "process-" + UUID.randomUUID());
            reading.put("isolation.level", "read_committed");
            reading.put("enable.auto.commit", "false");
            reading.put("max.poll.records", Integer.toString(records));
            reading.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
            reading.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
            Properties writing = new Properties();
            writing.put("bootstrap.servers", bootstrap);
            writing.put("transactional.id", "process-" + UUID.randomUUID());
            writing.put("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
            writing.put("value.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
            ArrayDeque<ConsumerRecord<byte[], byte[]>> pending = new ArrayDeque<>();
            try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(reading);
                    KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(writing)) {
                producer.initTransactions();
                consumer.assign(List.of(input));
                consumer.seek(input, 0);
                long taken = 0;
                while (going) {
                    while (pending.size() < records) {
                        consumer.poll(Duration.ofMillis(500)).forEach(pending::add);
                    }
                    producer.beginTransaction();
                    long last = 0;
                    for (int i = 0; i < records; i++) {
                        ConsumerRecord<byte[], byte[]> record = pending.poll();
                        producer.send(new ProducerRecord<>(output, record.partition(), record.key(), record.value()));
                        last = record.offset();
                    }
                    producer.sendOffsetsToTransaction(Map.of(input, new OffsetAndMetadata(last + 1)), consumer.groupMetadata());
                    long began = System.nanoTime();
                    producer.commitTransaction();
                    if (counting) {
                        commits.add(System.nanoTime() - began);
                        transactions++;
                    }
                    taken += records;
                    if (taken + records > there) {
                        taken = 0;
                        pending.clear();
                        consumer.seek(input, 0);
                    }
                }
            }
        }
    }

    public static void main(String[] args) throws Exception {
        int threads = Integer.parseInt(args[3]);
        int records = Integer.parseInt(args[4]);
        List<Worker> workers = new ArrayList<>();
        for (int t = 0; t < threads; t++) {
            workers.add(new Worker(args[0], new TopicPartition(args[1], t), args[2], records, Long.parseLong(args[5])));
        }
        for (Worker worker : workers) worker.start();
        Thread.sleep((long) (Double.parseDouble(args[6]) * 1000));
        System.out.println("ready");
        System.out.flush();
        counting = true;
        long began = System.nanoTime();
        Thread.sleep((long) (Double.parseDouble(args[7]) * 1000));
        counting = false;
        double seconds = (System.nanoTime() - began) / 1e9;
        System.out.println("over");
        System.out.flush();
        going = false;
        for (Worker worker : workers) worker.join(30_000);
        if (failure != null) {
            failure.printStackTrace();
            System.exit(1);
        }
        List<Long> commits = new ArrayList<>();
        long transactions = 0;
        for (Worker worker : workers) {
            commits.addAll(worker.commits);
            transactions += worker.transactions;
        }
        commits.sort(null);
        double p50 = commits.isEmpty() ? 0 : commits.get(commits.size() / 2) / 1e6;
        double p99 = commits.isEmpty() ? 0 : commits.get((int) (commits.size() * 0.99)) / 1e6;
        System.out.printf(
                "{\"transactions\": %d, \"records\": %d, \"seconds\": %f, \"commit_p50_ms\": %f, \"commit_p99_ms\": %f}%n",
                transactions, transactions * records, seconds, p50, p99);
        System.exit(0);
    }
}
