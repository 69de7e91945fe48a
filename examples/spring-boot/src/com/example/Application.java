package com.example;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

/** A greeting service with the two things every Spring Boot service has: a page and a health check. */
public class Application {
    static String greeting(String query) {
        String name = query != null && query.startsWith("name=") ? query.substring("name=".length()) : "World";
        return "Hello, " + name + "!\n";
    }

    public static void main(String[] args) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.createContext("/greeting", exchange -> answer(exchange, greeting(exchange.getRequestURI().getQuery())));
        server.createContext("/actuator/health", exchange -> answer(exchange, "{\"status\":\"UP\"}\n"));
        server.start();
        System.out.println("Started Application on port " + port);
    }

    private static void answer(HttpExchange exchange, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
