package coregister;

import java.io.IOException;

/** Ends this process when the one that started it is gone. */
final class Lifeline {

    /** How long a clean stop may take once nobody is left to wait for it. */
    private static final long GRACE_MILLIS = 20_000;

    private Lifeline() {
    }

    /** Watches standard input: the starter holds the other end open for as long as it lives, however it ends. */
    static void hold() {
        Thread.ofPlatform().daemon().name("lifeline").start(() -> {
            try {
                while (System.in.read() >= 0) {
                    // nothing is ever said on it
                }
            } catch (IOException broken) {
                // as good as closed
            }
            Thread.ofPlatform().daemon().name("lifeline-halt").start(Lifeline::haltLater);
            System.exit(0);
        });
    }

    private static void haltLater() {
        try {
            Thread.sleep(GRACE_MILLIS);
        } catch (InterruptedException hurry) {
            // halt at once
        }
        Runtime.getRuntime().halt(1);
    }
}
