/*
 * Verify.java WAY CASE...
 *	  Has the guide's verifiers judge requests, by "header" or by "body"
 *	  (test/perl/Judge.pm says what a case is, and what is printed).
 *
 * test/languages/Verify.java
 */
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

public final class Verify {
    public static void main(String[] arguments) throws Exception {
        for (int i = 1; i < arguments.length; i++) {
            Path dir = Path.of(arguments[i]);
            byte[] body = Files.readAllBytes(dir.resolve("body"));
            List<String> secrets = List.of(text(dir, "secrets").split(" "));
            long now = Long.parseLong(text(dir, "now"));

            try {
                if (arguments[0].equals("header")) {
                    Webhook.verifyHeader(text(dir, "id"), text(dir, "timestamp"),
                            text(dir, "signature"), body, secrets, now);
                } else {
                    Webhook.verifyBody(body, secrets);
                    Webhook.checkAge(Long.parseLong(text(dir, "parsed")), now);
                }
                System.out.println("valid");
            } catch (SecurityException refusal) {
                System.out.println("refused: " + refusal.getMessage());
            }
        }
    }

    private static String text(Path dir, String name) throws Exception {
        return Files.readString(dir.resolve(name));
    }
}
