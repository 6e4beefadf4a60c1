package coregister;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * One real Elasticsearch node from its published jars.
 *
 * <p>Arguments: the home folder (modules/, plugins/), the folder of elasticsearch.yml and log4j2.properties, and any
 * number of further settings as name=value.
 */
public final class ElasticsearchNode {

    private ElasticsearchNode() {
    }

    public static void main(String[] args) throws Exception {
        Lifeline.hold();
        Path home = Path.of(args[0]).toAbsolutePath();
        Path config = Path.of(args[1]).toAbsolutePath();
        Map<String, String> given = new HashMap<>();
        for (int i = 2; i < args.length; i++) {
            int equals = args[i].indexOf('=');
            given.put(args[i].substring(0, equals), args[i].substring(equals + 1));
        }

        LogConfigurator.configureESLogging(); // first: everything below logs
        Settings settings = Settings.builder().put("path.home", home.toString()).build();
        Environment environment =
                InternalSettingsPreparer.prepareEnvironment(settings, given, config, () -> "coregister");
        LogConfigurator.registerErrorListener();
        LogConfigurator.configure(environment, true);

        Node node = new Node(environment, PluginsLoader.createPluginsLoader(
                PluginsLoader.loadModulesBundles(home.resolve("modules")),
                PluginsLoader.loadPluginsBundles(home.resolve("plugins")), Map.of()));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node), "close"));
        node.start();
        Thread.currentThread().join();
    }

    private static void close(Node node) {
        try {
            node.close();
        } catch (IOException failed) {
            failed.printStackTrace();
        }
    }
}
