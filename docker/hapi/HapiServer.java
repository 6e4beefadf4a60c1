package coregister;

import java.util.HashSet;
import java.util.Properties;
import java.util.Set;
import javax.sql.DataSource;

import ca.uhn.fhir.batch2.jobs.bulkmodify.reindex.ReindexProvider;
import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.batch2.jobs.export.BulkDataExportProvider;
import ca.uhn.fhir.batch2.maintenance.JobMaintenanceServiceImpl;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.binary.api.IBinaryStorageSvc;
import ca.uhn.fhir.jpa.binstore.DatabaseBinaryContentStorageSvcImpl;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.graphql.GraphQLProvider;
import ca.uhn.fhir.jpa.interceptor.OverridePathBasedReferentialIntegrityForDeletesInterceptor;
import ca.uhn.fhir.jpa.interceptor.UserRequestRetryVersionConflictsInterceptor;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirPostgresDialect;
import ca.uhn.fhir.jpa.provider.DiffProvider;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.provider.SubscriptionTriggeringProvider;
import ca.uhn.fhir.jpa.provider.ValueSetOperationProvider;
import ca.uhn.fhir.jpa.provider.merge.PatientMergeProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.match.config.SubscriptionProcessorConfig;
import ca.uhn.fhir.jpa.subscription.channel.impl.RetryPolicyProvider;
import ca.uhn.fhir.jpa.subscription.match.deliver.email.IEmailSender;
import ca.uhn.fhir.jpa.subscription.submit.config.SubscriptionSubmitterConfig;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import com.zaxxer.hikari.HikariDataSource;
import jakarta.persistence.EntityManagerFactory;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.hl7.fhir.dstu2.model.Subscription.SubscriptionChannelType;
import org.springframework.beans.factory.config.BeanPostProcessor;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;
import org.springframework.retry.RetryPolicy;
import org.springframework.retry.backoff.BackOffPolicy;
import org.springframework.retry.backoff.FixedBackOffPolicy;
import org.springframework.retry.policy.TimeoutRetryPolicy;

/**
 * A stock HAPI FHIR R4 JPA server on embedded Jetty: no Spring Boot, no war.
 *
 * <p>Settings are system properties: fhir.host, fhir.port, fhir.db.url (H2 or PostgreSQL), fhir.db.user,
 * fhir.db.password, fhir.db.pool, fhir.subscriptionPollMs, fhir.subscriptionRetryMs,
 * fhir.jobPollMs.
 */
@Configuration
@Import({
    JpaR4Config.class, HapiJpaConfig.class, ThreadPoolFactoryConfig.class,
    JpaBatch2Config.class, Batch2JobsConfig.class,
    SubscriptionSubmitterConfig.class, SubscriptionProcessorConfig.class, SubscriptionChannelConfig.class
})
public class HapiServer {

    public static void main(String[] args) throws Exception {
        Lifeline.hold();
        long start = System.currentTimeMillis();
        AnnotationConfigApplicationContext spring = new AnnotationConfigApplicationContext();
        spring.setAllowBeanDefinitionOverriding(false);
        spring.register(HapiServer.class);
        spring.refresh();

        Server jetty = new Server();
        ServerConnector http = new ServerConnector(jetty);
        http.setHost(setting("fhir.host", "127.0.0.1"));
        http.setPort(number("fhir.port", 8080));
        jetty.addConnector(http);
        ServletContextHandler web = new ServletContextHandler("/");
        ServletHolder fhir = new ServletHolder(spring.getBean(RestfulServer.class));
        fhir.setInitOrder(1); // at start, not at the first request
        web.addServlet(fhir, "/fhir/*");
        jetty.setHandler(web);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(jetty, spring), "close"));
        jetty.start();
        System.out.println("Listening at http://" + http.getHost() + ":" + http.getLocalPort() + "/fhir after "
                + (System.currentTimeMillis() - start) + " ms");
        jetty.join();
    }

    /** Stops listening before the database goes away. */
    private static void close(Server jetty, AnnotationConfigApplicationContext spring) {
        try {
            jetty.stop();
        } catch (Exception failed) {
            failed.printStackTrace();
        }
        spring.close();
    }

    private static String setting(String key, String otherwise) {
        return System.getProperty(key, otherwise);
    }

    private static int number(String key, int otherwise) {
        return Integer.getInteger(key, otherwise);
    }

    // ---------------------------------------------------------------- behaviour

    @Bean
    public JpaStorageSettings storageSettings() {
        JpaStorageSettings s = new JpaStorageSettings();
        // a synchronous link is only believable if every search sees what was just written
        s.setReuseCachedSearchResultsForMillis(null);
        s.setAllowExternalReferences(true);
        s.setAllowMultipleDelete(true);
        s.setAllowContainsSearches(true);
        s.setFilterParameterEnabled(true);
        s.setExpungeEnabled(true);
        s.setDeleteExpungeEnabled(true);
        s.setHibernateSearchIndexFullText(false);
        s.setHibernateSearchIndexSearchParams(false);
        s.setJobFastTrackingEnabled(true); // else every $export step waits for a once-a-minute pass
        return s;
    }

    @Bean
    public SubscriptionSettings subscriptionSettings() {
        SubscriptionSettings s = new SubscriptionSettings();
        s.addSupportedSubscriptionType(SubscriptionChannelType.RESTHOOK);
        s.setSubscriptionChangeQueuedImmediately(true);
        // matched resources go through a table polled at this interval; HAPI's default is 5000 ms
        s.setSubscriptionIntervalInMs(number("fhir.subscriptionPollMs", 250));
        return s;
    }

    /**
     * A call of a subscription that fails is tried again for half a second; HAPI's own minute for each lets calls of an
     * address where nobody listens pile up, until no other one is made. Who is called has to ask for what it missed.
     */
    @Bean
    public static BeanPostProcessor impatientCalls() {
        return new BeanPostProcessor() {
            @Override
            public Object postProcessBeforeInitialization(Object bean, String name) {
                return bean instanceof RetryPolicyProvider ? new ImpatientRetries() : bean;
            }
        };
    }

    private static final class ImpatientRetries extends RetryPolicyProvider {
        @Override
        protected RetryPolicy retryPolicy() {
            TimeoutRetryPolicy policy = new TimeoutRetryPolicy();
            policy.setTimeout(number("fhir.subscriptionRetryMs", 500));
            return policy;
        }

        @Override
        protected BackOffPolicy backOffPolicy() {
            FixedBackOffPolicy pause = new FixedBackOffPolicy();
            pause.setBackOffPeriod(100);
            return pause;
        }
    }

    /** Batch2 jobs ($export, $expunge, reindex) advance one step per maintenance pass; HAPI's default is one a minute. */
    @Bean
    public static BeanPostProcessor fasterJobs() {
        return new BeanPostProcessor() {
            @Override
            public Object postProcessBeforeInitialization(Object bean, String name) {
                if (bean instanceof JobMaintenanceServiceImpl m) {
                    m.setScheduledJobFrequencyMillis(number("fhir.jobPollMs", 1000));
                }
                return bean;
            }
        };
    }

    @Bean
    public PartitionSettings partitionSettings() {
        return new PartitionSettings();
    }

    @Bean
    public IEmailSender emailSender() {
        return details -> { };
    }

    @Bean
    public IBinaryStorageSvc binaryStorage() {
        return new DatabaseBinaryContentStorageSvcImpl();
    }

    // ---------------------------------------------------------------- database

    @Bean(destroyMethod = "close")
    public HikariDataSource dataSource() {
        HikariDataSource d = new HikariDataSource();
        d.setJdbcUrl(setting("fhir.db.url", "jdbc:h2:mem:fhir"));
        d.setUsername(setting("fhir.db.user", "sa"));
        d.setPassword(setting("fhir.db.password", ""));
        d.setMaximumPoolSize(number("fhir.db.pool", 16));
        return d;
    }

    @Bean
    public LocalContainerEntityManagerFactoryBean entityManagerFactory(
            ConfigurableListableBeanFactory beans, FhirContext fhir, JpaStorageSettings settings, DataSource db) {
        boolean postgres = setting("fhir.db.url", "").startsWith("jdbc:postgresql:");
        Properties p = new Properties();
        p.put("hibernate.dialect", (postgres ? HapiFhirPostgresDialect.class : HapiFhirH2Dialect.class).getName());
        p.put("hibernate.hbm2ddl.auto", "update");
        p.put("hibernate.jdbc.batch_size", "20");
        p.put("hibernate.search.enabled", "false");
        LocalContainerEntityManagerFactoryBean f =
                HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, fhir, settings);
        f.setPersistenceUnitName("HAPI_PU");
        f.setDataSource(db);
        f.setJpaProperties(p);
        return f;
    }

    @Bean
    @Primary
    public JpaTransactionManager transactionManager(EntityManagerFactory emf) {
        return new JpaTransactionManager(emf);
    }

    // ---------------------------------------------------------------- REST

    @Bean
    public RestfulServer restfulServer(
            FhirContext ctx, IFhirSystemDao<?, ?> systemDao, IJpaSystemProvider systemProvider,
            ResourceProviderFactory resources, JpaStorageSettings settings, ISearchParamRegistry searchParams,
            IValidationSupport validation, DatabaseBackedPagingProvider paging,
            GraphQLProvider graphQl, BulkDataExportProvider bulkExport, PatientMergeProvider merge,
            ReindexProvider reindex, ValueSetOperationProvider valueSets, DiffProvider diff,
            SubscriptionTriggeringProvider triggering,
            OverridePathBasedReferentialIntegrityForDeletesInterceptor deletes) {
        // what a merge wrote is undone from the versions that its Provenance names
        Set<String> versioned = new HashSet<>(ctx.getParserOptions().getDontStripVersionsFromReferencesAtPaths());
        versioned.add("Provenance.target");
        ctx.getParserOptions().setDontStripVersionsFromReferencesAtPaths(versioned);
        RestfulServer s = new RestfulServer(ctx);
        s.registerProviders(resources.createProviders());
        s.registerProvider(systemProvider);
        s.registerProviders(graphQl, bulkExport, merge, reindex, valueSets, diff, triggering);
        paging.setDefaultPageSize(20);
        paging.setMaximumPageSize(Integer.MAX_VALUE);
        s.setPagingProvider(paging);
        // honours the client header  X-Retry-On-Version-Conflict: retry; max-retries=N
        s.registerInterceptor(new UserRequestRetryVersionConflictsInterceptor());
        // what a Provenance is about may be deleted: the Provenance stays, and tells what became of it
        deletes.addPath("Provenance.target");
        deletes.addPath("Provenance.entity.what");
        s.registerInterceptor(deletes);
        JpaCapabilityStatementProvider cs =
                new JpaCapabilityStatementProvider(s, systemDao, settings, searchParams, validation);
        cs.setImplementationDescription("HAPI FHIR R4 JPA");
        s.setServerConformanceProvider(cs);
        return s;
    }
}
